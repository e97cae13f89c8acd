"""Replies that were delivered, and an incident with something of everything."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

import psycopg
from django.utils import timezone

from agents.host import conninfo
from agents.postgres import Database
from controlplane.chat.facts import facts_of
from controlplane.chat.models import Conversation, Message, Outcome, Turn
from controlplane.stops import actions
from controlplane.stops.models import ListedTurn, Stop
from tests.chat.correcting import sent_events
from tests.chat.making import commit
from tests.factories import make_approval, make_conversation, make_turn
from tests.traces_pages.making import make_record


def ago(**units: float) -> datetime:
    return timezone.now() - timedelta(**units)


def make_reply(  # noqa: PLR0913 - the columns of a reply and of where it came from
    text: str = "It costs as listed.",
    *,
    at: datetime | None = None,
    conversation: Conversation | None = None,
    source: str = "output-guard",
    reviewed: bool = False,
    rules: tuple[str, ...] = (),
    backend: str = "",
    **turn_fields: Any,
) -> Message:
    """A turn with its delivered reply, as the index knows it."""
    at = at or ago(minutes=5)
    turn = make_turn(conversation, created_at=at, **turn_fields)
    talk = turn.conversation
    talk.latest_seq += 1
    talk.save(update_fields=["latest_seq"])
    record = make_record(
        turn.trace_id,
        "agent.responses.final",
        agent=source,
        conversation_id=talk.pk,
        rules=list(rules),
        backend=backend,
    )
    Outcome.objects.create(
        turn=turn, state="delivered", record_id=record.event_id, source=source
    )
    return Message.objects.create(
        conversation=talk,
        seq=talk.latest_seq,
        turn=turn,
        role="assistant",
        text=text,
        kind="reply",
        reviewed=reviewed,
        delivered_at=at,
    )


def make_stop(**fields: Any) -> Stop:
    defaults = {
        "mode": "hard",
        "scope": "everything",
        "reason": "Prices or terms are wrong",
        "requester": "ada",
    }
    return actions.request_stop(**(defaults | fields))


def make_incident() -> Stop:
    """Three conversations that a wrong discount reached; one has moved on, and much is owed."""
    wrong = "Of course: 25 % off the list price, and the winter wheels come free."
    hit: dict[str, Any] = {"rules": ("discount-free",), "backend": "demo-fast"}
    make_reply("The E-Class estate costs 68,430 euros.", at=ago(minutes=50))
    make_reply(wrong, at=ago(minutes=30), **hit)
    moved_on = make_reply(wrong, at=ago(minutes=20), **hit)
    make_turn(moved_on.conversation, text="And could I have it on Saturday?")
    pro = make_conversation(tier="pro", user="u_7f3a")
    make_reply(wrong.upper(), at=ago(minutes=9), conversation=pro, reviewed=True, **hit)
    stop = make_stop()
    late = make_reply(wrong, at=timezone.now(), **hit)
    stop.listed.create(fate="delivered", **_listed(late.turn))
    actions.prove_stop(stop, prover="ada")
    make_approval(text=wrong)
    Outcome.objects.create(turn=make_turn(), state="failed", reason="no model")
    make_turn(text="Is anybody there?")
    unknown = make_turn()
    stop.listed.create(fate=ListedTurn.Fate.UNKNOWN, **_listed(unknown))
    stop.refresh_from_db()
    return stop


def _listed(turn: Turn) -> dict[str, str]:
    return {
        "turn_id": turn.pk,
        "conversation_id": turn.conversation_id,
        "trace_id": turn.trace_id,
    }


def carry_out() -> None:
    """Do what the gate does with the corrections that the outbox has."""

    async def settle() -> None:
        database = Database(conninfo())
        await database.open()
        await commit(database, *facts)
        await database.close()

    facts = facts_of(sent_events())
    asyncio.run(settle())


@contextmanager
def locked_conversations() -> Iterator[None]:
    """Hold them as a delivery does that takes its time."""
    with psycopg.connect(conninfo()) as delivery:
        delivery.execute("SELECT 1 FROM chat_conversation FOR UPDATE")
        yield
