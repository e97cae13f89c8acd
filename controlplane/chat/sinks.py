"""The gate and the intake: sinks that turn records into outcomes, and tell the sockets."""

from collections.abc import Sequence
from typing import Any

from django.conf import settings

from agents import registry, topics
from agents.agent import Agent, Event
from agents.cloudevents import HeaderError, decode_headers, parse_traceparent
from agents.metrics import DELIVERIES
from agents.postgres import Database
from agents.records import Record
from agents.runtime import Tools
from controlplane.chat import live
from controlplane.chat.facts import facts_of, failed
from controlplane.chat.settle import Limits, Settled, settle
from controlplane.chat.turns import Fact

_TURNS_OF_TRACES = """
SELECT trace_id, id, conversation_id FROM chat_turn WHERE trace_id = ANY(%s)
"""
# Letters of these agents say nothing about a turn: its answer goes on without them.
_BYSTANDERS = {"recorder"}


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
    database = tools.database

    async def deliver(events: Sequence[Event[Any]]) -> None:
        await settle_and_tell(database, facts_of(events), "gate")

    return Agent(
        name="gate",
        description="Delivers what may be delivered: checks stops and approvals where it commits.",
        kind="sink",
        workflow="platform",
        reads=(
            topics.USER_BLOCKED,
            topics.RESPONSES_FINAL,
            topics.RESPONSES_APPROVED,
            topics.RESPONSES_REJECTED,
            topics.RESPONSES_EXPIRED,
        ),
        handle_batch=deliver,
        batch_size=100,
    )


def intake(tools: Tools) -> Agent:
    database = tools.database

    async def take_in(events: Sequence[Event[Any]]) -> None:
        await settle_and_tell(database, facts_of(events), "intake")

    return Agent(
        name="intake",
        description="Opens turns, and puts held answers before people.",
        kind="sink",
        workflow="platform",
        reads=(topics.USER_RAW, *topics.ALL_PENDING),
        handle_batch=take_in,
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
    reasons = dict(filter(None, map(_trace_and_reason, letters)))
    if not reasons:
        return []
    async with database.connection() as connection:
        cursor = await connection.execute(_TURNS_OF_TRACES, [list(reasons)])
        rows = await cursor.fetchall()
    return [
        failed(turn, conversation, record_id=f"dlq:{trace}", reason=reasons[trace])
        for trace, turn, conversation in rows
    ]


def _trace_and_reason(letter: Record) -> tuple[str, str] | None:
    headers = dict(letter.headers)
    if headers.get("ilk_dlq_agent", b"").decode(errors="replace") in _BYSTANDERS:
        return None
    reason = headers.get("ilk_dlq_reason", b"").decode(errors="replace")
    try:
        trace = decode_headers(letter.headers).trace_id
    except HeaderError:
        trace = parse_traceparent(
            headers.get("traceparent", b"").decode(errors="replace")
        )
    return (trace, reason.replace("\x00", "")) if trace else None
