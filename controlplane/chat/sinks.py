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


class _OfTurn(msgspec.Struct, frozen=True):
    turn_id: str


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
        description="A turn that ends in the dead letters has failed, and its user is told.",
        kind="sink",
        workflow="platform",
        reads=(topics.DEAD_LETTERS,),
        handle_records=bury,
        batch_size=100,
    )


async def _failed_turns(database: Database, letters: Sequence[Record]) -> list[Fact]:
    of_turns: dict[str, str] = {}
    of_traces: dict[str, str] = {}
    for letter in letters:
        headers = {name: _text(value) for name, value in letter.headers}
        if headers.get("ilk_dlq_agent") in _on_the_way():
            reason = plain(headers.get("ilk_dlq_reason", ""))
            if turn := _turn_of(letter, headers):
                of_turns[turn] = reason
            elif trace := _trace_of(letter, headers):
                of_traces[trace] = reason
    if not of_turns and not of_traces:
        return []
    async with database.connection() as connection:
        cursor = await connection.execute(
            _FAILED_TURNS, [list(of_turns), list(of_traces)]
        )
        rows = await cursor.fetchall()
    return [
        failed(
            turn,
            conversation,
            record_id=f"dlq:{trace}",
            reason=of_turns[turn] if turn in of_turns else of_traces[trace],
        )
        for turn, conversation, trace in rows
    ]


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


def _turn_of(letter: Record, headers: dict[str, str]) -> str:
    """Return the turn that the record itself names. A message that opens one is named as it."""
    if headers.get("ilk_dlq_topic") == topics.USER_RAW:
        return plain(headers.get("ce_id", ""))
    try:
        return plain(msgspec.json.decode(letter.value, type=_OfTurn).turn_id)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""


def _trace_of(letter: Record, headers: dict[str, str]) -> str:
    try:
        return decode_headers(letter.headers).trace_id
    except HeaderError:
        return parse_traceparent(headers.get("traceparent", ""))


def _text(value: bytes) -> str:
    return value.decode(errors="replace")
