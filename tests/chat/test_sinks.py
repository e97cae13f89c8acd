"""Gate, intake and failures: records become outcomes, and sockets are told."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from channels_redis.pubsub import RedisSingleShardConnection
from redis.exceptions import ConnectionError as ValkeyGoneError

from agents import cloudevents, topics
from agents.agent import Agent
from agents.cloudevents import Envelope
from agents.events import FinalResponse, PendingResponse, UserMessage
from agents.host import conninfo
from agents.metrics import DELIVERIES
from agents.tools import Tools
from agents.work import dead_letter
from controlplane.chat import live, sinks
from guardrails.verdicts import Verdict
from tests.chat.making import (
    ESCALATE,
    TRACE,
    commit,
    decide,
    decided,
    event,
    hold,
    opened,
    record,
    reply,
    rows,
    states_of,
    transcript_of,
)
from tests.guardrails.factories import make_masker

pytestmark = pytest.mark.django_db(transaction=True)

TURN: dict[str, Any] = {"turn_id": "t1", "conversation_id": "c1", "tier": "free"}
QUESTION = event(
    topics.USER_RAW,
    UserMessage(conversation_id="c1", text="hi"),
    id="t1",
    source="widget",
)
FINAL = event(
    topics.RESPONSES_FINAL,
    FinalResponse(**TURN, text="hello", verdict=Verdict(action="allow")),
)
PENDING = event(
    topics.PENDING,
    PendingResponse(**TURN, question="hi", text="25 %", team="", verdict=ESCALATE),
)


@pytest.fixture
async def tools() -> AsyncIterator[Tools]:
    made = Tools(conninfo(), {}, make_masker())
    await made.database.open()
    yield made
    await made.database.close()
    await asyncio.to_thread(made.publisher.close)


@pytest.fixture
def pushes(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Collect what is pushed instead of sending it: Valkey is another process."""
    sent: list[tuple[str, str]] = []

    async def send(group: str, kind: str) -> None:
        sent.append((group, kind))

    monkeypatch.setattr(live, "_send", send)
    return sent


async def batch(agent: Agent, *events: object) -> None:
    assert agent.handle_batch is not None
    await agent.handle_batch(events)  # type: ignore[arg-type]


async def test_intake_and_gate_bring_a_question_to_its_answer(
    tools: Tools, pushes: list[tuple[str, str]]
) -> None:
    counter = DELIVERIES.labels("chat", "false")
    before = counter._value.get()

    await batch(sinks.intake(tools), QUESTION)
    await batch(sinks.gate(tools), FINAL)

    assert await transcript_of(tools.database) == ["1 user hi", "2 assistant hello"]
    assert pushes == [("chat.c1", "chat.wake")] * 2
    assert counter._value.get() == before + 1
    assert await rows(
        tools.database, "SELECT actor FROM audit_entry WHERE action = 'reply_delivered'"
    ) == [("gate",)]


async def test_a_held_answer_wakes_the_queue(
    tools: Tools, pushes: list[tuple[str, str]]
) -> None:
    await batch(sinks.intake(tools), QUESTION, PENDING)

    assert ("moderation.queue", "queue.wake") in pushes
    assert await states_of(tools.database) == {"t1": "held"}


async def test_an_empty_batch_tells_nobody(
    tools: Tools, pushes: list[tuple[str, str]]
) -> None:
    await batch(sinks.gate(tools))

    assert pushes == []


async def test_gate_and_intake_read_what_their_topics_register_says(
    tools: Tools,
) -> None:
    reads = {
        *sinks.gate(tools).reads,
        *sinks.intake(tools).reads,
        *sinks.failures(tools).reads,
    }

    assert reads <= set(topics.TOPICS)
    assert sinks.gate(tools).is_sink


# Dead letters


def letter(
    *,
    agent: str = "responder",
    reason: str = "boom",
    topic: str = "agent.requests.free",
    value: bytes = b"no JSON",
    event_id: str = "r1",
    headers: bool = True,
) -> object:
    envelope = Envelope(
        id=event_id, type="ModelRequest", source="router", trace_id=TRACE
    )
    failed = record(
        topic,
        headers=cloudevents.encode_headers(envelope) if headers else [],
        value=value,
    )
    made = dead_letter(failed, agent=agent, reason=reason, attempts=3)
    return record(topics.DEAD_LETTERS, headers=made.headers, value=made.value)


@pytest.mark.parametrize("name", ["input-guard", "tier-router", "gate", "intake"])
async def test_a_letter_of_any_agent_on_the_way_of_an_answer_fails_its_turn(
    tools: Tools, name: str
) -> None:
    await commit(tools.database, opened())

    await bury(tools, letter(agent=name))

    assert await states_of(tools.database) == {"t1": "failed"}


async def bury(tools: Tools, *letters: object) -> None:
    agent = sinks.failures(tools)
    assert agent.handle_records is not None
    await agent.handle_records(letters)  # type: ignore[arg-type]


async def test_a_turn_that_ends_in_the_dead_letters_has_failed(
    tools: Tools, pushes: list[tuple[str, str]]
) -> None:
    await commit(tools.database, opened())

    await bury(tools, letter(reason="no\x00model"))
    await bury(tools, letter())

    assert await rows(tools.database, "SELECT state, reason FROM chat_outcome") == [
        ("failed", "no\N{SYMBOL FOR NULL}model")
    ]
    assert pushes[0] == ("chat.c1", "chat.wake")


@pytest.mark.parametrize(
    "fields",
    [
        {"value": b'{"turn_id": "t1"}'},
        {"topic": topics.USER_RAW, "event_id": "t1", "agent": "input-guard"},
    ],
    ids=["in its value", "as the message that opened it"],
)
async def test_a_letter_that_names_a_turn_fails_that_one_alone(
    tools: Tools, fields: dict[str, str]
) -> None:
    other = opened("t2", "c2")
    await commit(tools.database, opened(trace_id="cd" * 16), other)

    await bury(tools, letter(**fields))  # type: ignore[arg-type]

    assert await states_of(tools.database) == {"t1": "failed", "t2": "open"}


async def test_a_letter_whose_headers_are_broken_is_found_by_its_trace(
    tools: Tools,
) -> None:
    await commit(tools.database, opened())
    headers = [
        ("traceparent", f"00-{TRACE}-{'0' * 15}1-01".encode()),
        ("ilk_dlq_agent", b"input-guard"),
    ]

    await bury(tools, record(topics.DEAD_LETTERS, headers=headers))

    assert await states_of(tools.database) == {"t1": "failed"}


@pytest.mark.parametrize(
    "letters",
    [
        [letter(agent="recorder")],
        [letter(agent="sentiment")],
        [letter(value=b'{"turn_id": "another"}')],
        [letter(topic=topics.USER_RAW)],
        [letter(headers=False)],
        [
            record(
                topics.DEAD_LETTERS,
                headers=[("traceparent", b"\xff"), ("ilk_dlq_agent", b"gate")],
            )
        ],
        [],
    ],
    ids=[
        "of the recorder",
        "of an agent aside",
        "of another turn on this trace",
        "of another message on this trace",
        "without a trace",
        "not text",
        "none",
    ],
)
async def test_a_letter_that_says_nothing_about_a_turn_changes_none(
    tools: Tools, letters: list[object]
) -> None:
    await commit(tools.database, opened())

    await bury(tools, *letters)

    assert await states_of(tools.database) == {"t1": "open"}


async def test_a_letter_about_an_answered_turn_changes_nothing(tools: Tools) -> None:
    await commit(tools.database, opened(), reply())

    await bury(tools, letter())

    assert await states_of(tools.database) == {"t1": "delivered"}


@pytest.mark.parametrize("state", ["approved", "rejected"])
async def test_a_decision_that_died_at_the_gate_comes_before_people_again(
    tools: Tools, pushes: list[tuple[str, str]], state: str
) -> None:
    await commit(tools.database, opened(), hold())
    approval = await decide(tools.database, state=state, text="decided")
    died = letter_of_decision(state, approval)

    await bury(tools, died)
    await bury(tools, died)

    assert await states_of(tools.database) == {"t1": "held"}
    assert await rows(
        tools.database,
        "SELECT team, text, why FROM moderation_approval WHERE state = 'pending'",
    ) == [
        (
            "discount",
            "decided",
            "The decision could not be carried out: no\N{SYMBOL FOR NULL}room",
        )
    ]
    assert ("moderation.queue", "queue.wake") in pushes


async def test_a_decision_that_comes_back_from_the_dead_letters_is_a_duplicate(
    tools: Tools,
) -> None:
    await commit(tools.database, opened(), hold())
    approval = await decide(tools.database)
    await bury(tools, letter_of_decision("approved", approval))

    await commit(tools.database, decided("approved", approval))

    assert await states_of(tools.database) == {"t1": "held"}
    assert await rows(
        tools.database, "SELECT record_id, outcome_state FROM chat_duplicate"
    ) == [(f"approved-{approval}", "held")]
    again = await decide(tools.database)
    await commit(tools.database, decided("approved", again))
    assert await transcript_of(tools.database) == [
        "1 user question t1",
        "2 assistant risky t1",
    ]


async def test_a_letter_of_the_gate_about_another_record_leaves_a_held_turn_alone(
    tools: Tools,
) -> None:
    await commit(tools.database, opened(), hold())
    await decide(tools.database)

    await bury(tools, letter(agent="gate", value=b'{"turn_id": "t1"}'))

    assert await states_of(tools.database) == {"t1": "held"}
    assert await rows(tools.database, "SELECT state FROM moderation_approval") == [
        ("approved",)
    ]


def letter_of_decision(state: str, approval: str) -> object:
    value = {"turn_id": "t1", "approval_id": approval}
    return letter(
        agent="gate",
        reason="no\x00room",
        topic=f"agent.responses.{state}",
        value=msgspec.json.encode(value),
        event_id=f"{state}-{approval}",
    )


# Pushes


@pytest.mark.parametrize(
    "odd", ["a b", "ä" * 100, "c_" + "0" * 98, "", "x.y_z", "\x00", "🙂"]
)
def test_every_conversation_has_a_group_name_that_channels_takes(odd: str) -> None:
    group = live.conversation_group(odd)

    assert len(group) < 100
    assert all(c.isascii() and (c.isalnum() or c in "-._") for c in group)


async def test_valkey_away_loses_the_push_and_nothing_else(
    tools: Tools, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> None:
        raise ValkeyGoneError

    monkeypatch.setattr(RedisSingleShardConnection, "publish", fail)

    await batch(sinks.intake(tools), QUESTION)

    assert await transcript_of(tools.database) == ["1 user hi"]


def test_events_here_are_as_kafka_would_carry_them() -> None:
    assert msgspec.json.decode(FINAL.record.value, type=FinalResponse) == FINAL.data
