"""Records of email.send become rows: once each, whatever their headers say."""

from collections.abc import Iterator
from typing import Any

import pytest

from agents.agent import Agent, Event
from agents.cloudevents import Envelope
from agents.events import SendMail
from agents.host import conninfo
from agents.postgres import Database
from agents.topics import EMAIL_SEND
from controlplane.effects import sinks
from controlplane.effects.mailer import Mailer
from controlplane.effects.models import Effect
from tests.agents.stage import make_record
from tests.loop_thread import LoopThread

pytestmark = pytest.mark.django_db(transaction=True)


class Tools:
    def __init__(self, database: Database) -> None:
        self.database = database


@pytest.fixture
def intake(loop_thread: LoopThread) -> Iterator[Agent]:
    database = Database(conninfo(), max_size=1)
    loop_thread.run(database.open())
    yield sinks.mail_intake(Tools(database))  # type: ignore[arg-type]
    loop_thread.run(database.close())


def asked(record_id: str = "r-1", **fields: Any) -> Event[SendMail]:
    headers: dict[str, Any] = {
        "source": "output-guard",
        "workflow": "chat",
        "tier": "pro",
    }
    envelope = Envelope(
        id=record_id,
        type="SendMail",
        trace_id="a" * 32,
        **(headers | fields.pop("headers", {})),
    )
    mail = {"to": "bo@customer.example", "subject": "Offer", "text": "Here it is."}
    record = make_record(topic=EMAIL_SEND, key=b"c_1")
    return Event(data=SendMail(**(mail | fields)), envelope=envelope, record=record)


def take(agent: Agent, loop_thread: LoopThread, *events: Event[SendMail]) -> None:
    async def run() -> None:
        assert agent.handle_batch is not None
        await agent.handle_batch(events)

    loop_thread.run(run())


def test_a_record_becomes_one_mail_however_often_it_comes(
    intake: Agent, loop_thread: LoopThread
) -> None:
    take(intake, loop_thread, asked(), asked("r-2"), asked())
    take(intake, loop_thread, asked(text="another text under the same id"))

    first, second = Effect.objects.order_by("pk")
    assert (first.record_id, second.record_id) == ("r-1", "r-2")
    assert (first.recipient, first.subject, first.text) == (
        "bo@customer.example",
        "Offer",
        "Here it is.",
    )
    assert (first.workflow, first.agent, first.tier) == ("chat", "output-guard", "pro")
    assert (first.conversation_id, first.trace_id) == ("c_1", "a" * 32)
    assert first.agents == ["input-guard", "output-guard", "responder", "tier-router"]
    assert (first.state, first.attempts, first.decided_at) == ("waiting", 0, None)


def test_what_headers_and_texts_should_not_hold_is_borne(
    intake: Agent, loop_thread: LoopThread
) -> None:
    hostile = {"source": "s" * 500, "workflow": "w\x00" * 200, "tier": "t" * 500}
    take(intake, loop_thread, asked("i" * 500, headers=hostile, text="a\x00b"))

    effect = Effect.objects.get()
    assert effect.text == "a\N{SYMBOL FOR NULL}b"
    assert effect.agents == ["s" * 64]
    assert len(effect.record_id) == 200


def test_a_worker_builds_the_mailer_with_the_server_of_the_settings() -> None:
    mailer = sinks.mailer(Tools(None))  # type: ignore[arg-type]

    assert isinstance(mailer, Mailer)
    assert mailer.status()["state"] == "running"
