"""The gate and the intake: sinks that turn records into outcomes, and tell the sockets."""

from collections.abc import Sequence
from functools import cache
from typing import Any

import msgspec
from django.conf import settings

from agents import registry, topics
from agents.agent import Agent, Event
from agents.cloudevents import HeaderError, decode_headers, parse_traceparent
from agents.metrics import DELIVERIES
from agents.postgres import Database, plain
from agents.records import Record
from agents.registry import declarations
from agents.runtime import Tools
from controlplane.chat import live
from controlplane.chat.facts import facts_of, failed
from controlplane.chat.settle import Settled, settle
from controlplane.chat.settle_writes import Limits
from controlplane.chat.turns import Fact

_FAILED_TURNS = """
SELECT id, conversation_id, trace_id FROM chat_turn WHERE id = ANY(%s)
UNION
SELECT id, conversation_id, trace_id FROM chat_turn WHERE trace_id = ANY(%s)
"""

_ID_MAX_CHARS = 96  # what PostgreSQL keeps of it, with a prefix


class _Named(msgspec.Struct, frozen=True):
    turn_id: str
    approval_id: str = ""


class _Letter(msgspec.Struct, frozen=True, kw_only=True):
    reason: str
    record_id: str
    turn_id: str
    trace_id: str
    approval_id: str

    def is_about(self, turn: str, trace: str) -> bool:
        """The turn that is named counts; the trace may have others."""
        return self.turn_id == turn if self.turn_id else self.trace_id == trace


def limits() -> Limits:
    return Limits(
        turn_s=settings.TURN_DEADLINE_S, approval_s=settings.APPROVAL_DEADLINE_S
    )


async def settle_and_tell(
    database: Database, facts: Sequence[Fact], actor: str
) -> None:
    if facts:
        settled = await settle(
            database,
            facts,
            actor=actor,
            limits=limits(),
            upstream=registry.upstream(),
        )
        await tell(settled)


async def tell(settled: Settled) -> None:
    """Count and push what was committed."""
    for message in settled.plan.messages:
        if message.role == "assistant":
            DELIVERIES.labels("chat", str(message.reviewed).lower()).inc()
    await live.wake_conversations(settled.conversations)
    if settled.plan.approvals:
        await live.wake_queue()


def gate(tools: Tools) -> Agent:
    return _settling(
        tools,
        name="gate",
        description="Delivers what may be delivered: checks stops and approvals where it commits.",
        reads=(
            topics.USER_BLOCKED,
            topics.RESPONSES_FINAL,
            topics.RESPONSES_APPROVED,
            topics.RESPONSES_REJECTED,
            topics.RESPONSES_EXPIRED,
        ),
    )


def intake(tools: Tools) -> Agent:
    return _settling(
        tools,
        name="intake",
        description="Opens turns, and puts held answers before people.",
        reads=(topics.USER_RAW, *topics.ALL_PENDING),
    )


def _settling(
    tools: Tools, *, name: str, description: str, reads: tuple[str, ...]
) -> Agent:
    """Return a sink that settles what its records say."""

    async def take(events: Sequence[Event[Any]]) -> None:
        await settle_and_tell(tools.database, facts_of(events), name)

    return Agent(
        name=name,
        description=description,
        kind="sink",
        workflow="platform",
        reads=reads,
        handle_batch=take,
        batch_size=100,
    )


def failures(tools: Tools) -> Agent:
    database = tools.database

    async def bury(records: Sequence[Record]) -> None:
        facts = await _failed_turns(database, records)
        await settle_and_tell(database, facts, "intake")

    return Agent(
        name="failures",
        description="Fails a turn that ends in the dead letters; asks people again about a decision.",
        kind="sink",
        workflow="platform",
        reads=(topics.DEAD_LETTERS,),
        handle_records=bury,
        batch_size=100,
    )


async def _failed_turns(database: Database, records: Sequence[Record]) -> list[Fact]:
    letters = [letter for record in records if (letter := _read(record))]
    if not letters:
        return []
    async with database.connection() as connection:
        cursor = await connection.execute(
            _FAILED_TURNS,
            [
                [letter.turn_id for letter in letters],
                [letter.trace_id for letter in letters if not letter.turn_id],
            ],
        )
        rows = await cursor.fetchall()
    return [
        failed(
            turn,
            conversation,
            record_id=letter.record_id if letter.approval_id else f"dlq:{trace}",
            reason=letter.reason,
            approval_id=letter.approval_id,
        )
        for letter in letters
        for turn, conversation, trace in rows
        if letter.is_about(turn, trace)
    ]


def _read(record: Record) -> _Letter | None:
    """Return what the letter says about a turn, if an answer waits for who failed on it."""
    headers = {name: _text(value) for name, value in record.headers}
    if headers.get("ilk_dlq_agent") not in _on_the_way():
        return None
    named = _named(record, headers)
    letter = _Letter(
        reason=headers.get("ilk_dlq_reason", ""),
        record_id=headers.get("ce_id", "")[:_ID_MAX_CHARS],
        turn_id=named.turn_id,
        trace_id=_trace_of(record, headers),
        approval_id=named.approval_id,
    )
    return letter if letter.turn_id or letter.trace_id else None


@cache
def _on_the_way() -> set[str]:
    """Return the agents that an answer waits for: without any other it goes on."""
    declared = {agent.name: agent for agent in declarations()}
    found = {"gate", "intake"}
    while more := {
        name
        for reader in found
        for name, agent in declared.items()
        if name not in found and set(agent.writes) & set(declared[reader].reads)
    }:
        found |= more
    return found


def _named(record: Record, headers: dict[str, str]) -> _Named:
    """Return what the record itself names. A message that opens a turn is named as it."""
    if headers.get("ilk_dlq_topic") == topics.USER_RAW:
        return _Named(headers.get("ce_id", ""))
    try:
        named = msgspec.json.decode(record.value, type=_Named)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _Named("")
    return _Named(plain(named.turn_id), named.approval_id)


def _trace_of(record: Record, headers: dict[str, str]) -> str:
    try:
        return decode_headers(record.headers).trace_id
    except HeaderError:
        return parse_traceparent(headers.get("traceparent", ""))


def _text(value: bytes) -> str:
    return plain(value.decode(errors="replace"))
