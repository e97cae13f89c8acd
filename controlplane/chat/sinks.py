"""The gate and the intake: sinks that turn records into outcomes, and tell the sockets."""

from collections.abc import Sequence
from typing import Any

from django.conf import settings

from agents import registry, topics
from agents.agent import Agent, Event
from agents.metrics import DELIVERIES
from agents.postgres import Connection, Database
from agents.records import Record
from agents.tools import Tools
from controlplane.chat import live
from controlplane.chat.facts import facts_of, failed
from controlplane.chat.letters import LETTERS, About, about
from controlplane.chat.settle import Settled, settle
from controlplane.chat.settle_writes import Limits
from controlplane.chat.turns import Fact

# An answer brings its question along, so a turn that is answered sooner needs no second transaction.
INTAKE_LINGER_S = 0.2

_FAILED_TURNS = """
SELECT id, conversation_id, trace_id FROM chat_turn WHERE id = ANY(%s)
UNION
SELECT id, conversation_id, trace_id FROM chat_turn WHERE trace_id = ANY(%s)
"""

# Their record is on its way again.
_REDRIVEN = """
SELECT partition, "offset" FROM deadletters_letter
WHERE state = 'redriven' AND (partition, "offset") IN (
  SELECT * FROM unnest(%s::int[], %s::bigint[]))
"""


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
        linger_s=INTAKE_LINGER_S,
    )


def _settling(
    tools: Tools,
    *,
    name: str,
    description: str,
    reads: tuple[str, ...],
    linger_s: float = 0.0,
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
        linger_s=linger_s,
    )


def failures(tools: Tools) -> Agent:
    database = tools.database

    async def bury(records: Sequence[Record]) -> None:
        read = [(record, about(record.headers, record.value)) for record in records]
        if not any(letter for _, letter in read):
            return
        async with database.connection() as connection, connection.transaction():
            await connection.execute(
                "SELECT pg_advisory_xact_lock_shared(%s)", [LETTERS]
            )
            facts = await _failed_turns(connection, read)
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


async def _failed_turns(
    connection: Connection, read: list[tuple[Record, About | None]]
) -> list[Fact]:
    letters = await _not_redriven(connection, read)
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
            record_id=letter.record_id if letter.is_of_a_person else f"dlq:{trace}",
            reason=letter.reason,
            approval_id=letter.approval_id,
            correction_id=letter.correction_id,
        )
        for letter in letters
        for turn, conversation, trace in rows
        if letter.is_about(turn, trace)
    ]


async def _not_redriven(
    connection: Connection, read: list[tuple[Record, About | None]]
) -> list[About]:
    """Leave out what people had sent again before this agent came to it."""
    places = [(record.partition, record.offset) for record, letter in read if letter]
    cursor = await connection.execute(
        _REDRIVEN, [[place[0] for place in places], [place[1] for place in places]]
    )
    redriven = set(await cursor.fetchall())
    return [
        letter
        for record, letter in read
        if letter and (record.partition, record.offset) not in redriven
    ]
