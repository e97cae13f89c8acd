"""What PostgreSQL takes: the recorder against a bare COPY of the same rows, and the gate."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Any, TypeVar
from uuid import uuid4

import msgspec
import psycopg

from agents import cloudevents, topics
from agents.cloudevents import Envelope
from agents.events import UserMessage
from agents.postgres import Connection, Database
from agents.records import Record
from tests.guardrails.factories import make_masker

Row = tuple[Any, ...]
Batch = TypeVar("Batch")

RECORDS = 60_000
PARTITIONS = 6
BATCH = 1_000
DELIVERIES = 6_000
GATE_BATCH = 100
CONVERSATIONS = 600

_OFFSET = """
INSERT INTO traces_recorderoffset (topic, partition, next_offset) VALUES (%s, %s, 0)
ON CONFLICT (topic, partition) DO UPDATE SET next_offset = 0
"""


def recorder(conninfo: str) -> dict[str, float]:
    """Return records per second of the recorder's transaction and of COPY alone."""
    records = list(_records())
    ours = asyncio.run(_record(conninfo, records))
    _empty(conninfo)
    bare = asyncio.run(_copy(conninfo, records))
    _empty(conninfo)
    return {"recorder": ours, "bare COPY": bare}


def _records() -> Iterator[Record]:
    text = "What does the new estate cost, and when could I drive it? " * 4
    now_ms = int(time.time() * 1000)
    for number in range(RECORDS):
        name, event_id = f"c_{number % 500}", str(uuid4())
        message = UserMessage(conversation_id=name, text=text, user="u_1")
        envelope = Envelope(
            id=event_id,
            type="UserMessage",
            source="bench",
            trace_id=cloudevents.trace_id_of(event_id),
            workflow="chat",
            tier="free",
        )
        yield Record(
            topic=topics.USER_RAW,
            partition=number % PARTITIONS,
            offset=number // PARTITIONS,
            timestamp_ms=now_ms,
            key=name.encode(),
            value=msgspec.json.encode(message),
            headers=cloudevents.encode_headers(envelope),
        )


def _batches(records: list[Record]) -> Iterator[list[Record]]:
    for start in range(0, len(records), BATCH):
        yield records[start : start + BATCH]


async def _record(conninfo: str, records: list[Record]) -> float:
    from controlplane.traces.sinks import record  # noqa: PLC0415  # needs Django

    async def take(connection: Connection, batch: list[Record]) -> None:
        await record(connection, batch, masker=make_masker())

    with psycopg.connect(conninfo, autocommit=True) as connection:
        for partition in range(PARTITIONS):
            connection.execute(_OFFSET, [topics.USER_RAW, partition])
    return await _timed(conninfo, _batches(records), take)


async def _copy(conninfo: str, records: list[Record]) -> float:
    from controlplane.traces import sinks  # noqa: PLC0415  # needs Django

    async def take(connection: Connection, rows: tuple[list[Row], list[Row]]) -> None:
        async with connection.cursor() as cursor:
            for statement, made in zip(
                (sinks.COPY_INDEX, sinks.COPY_PAYLOAD), rows, strict=True
            ):
                async with cursor.copy(statement) as copy:
                    for row in made:
                        await copy.write_row(row)

    made = [
        (
            [sinks.index_row(each, make_masker()) for each in batch],
            [sinks.payload_row(each) for each in batch],
        )
        for batch in _batches(records)
    ]
    return await _timed(conninfo, made, take)


async def _timed(
    conninfo: str,
    batches: Iterable[Batch],
    take: Callable[[Connection, Batch], Awaitable[None]],
) -> float:
    """Return records per second, a transaction for each batch."""
    connected = await psycopg.AsyncConnection.connect(conninfo, autocommit=True)
    async with connected as connection:
        began_s = time.perf_counter()
        for batch in batches:
            async with connection.transaction():
                await take(connection, batch)
        return RECORDS / (time.perf_counter() - began_s)


def _empty(conninfo: str) -> None:
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute("DELETE FROM traces_record WHERE agent = 'bench'")
        connection.execute(
            "DELETE FROM traces_payload WHERE topic = %s", [topics.USER_RAW]
        )


def gate(conninfo: str) -> float:
    """Return deliveries per second of one connection in batches, audit rows and all."""
    return asyncio.run(_gate(conninfo))


async def _gate(conninfo: str) -> float:
    from controlplane.chat.settle import settle  # noqa: PLC0415  # needs Django
    from controlplane.chat.settle_writes import Limits  # noqa: PLC0415
    from controlplane.chat.turns import Fact  # noqa: PLC0415

    run = uuid4().hex
    turns = [
        (f"t_{run}_{n}", f"c_{run}_{n % CONVERSATIONS}") for n in range(DELIVERIES)
    ]
    opened = [
        Fact(
            kind="opened",
            turn_id=turn,
            conversation_id=name,
            record_id=turn,
            trace_id=uuid4().hex,
            client_id=turn,
            user="bench",
            text="What does it cost?",
        )
        for turn, name in turns
    ]
    replies = [
        Fact(
            kind="reply",
            turn_id=turn,
            conversation_id=name,
            record_id=f"r_{turn}",
            source="output-guard",
            text="It costs as much as the list says, and you can drive it on Saturday.",
        )
        for turn, name in turns
    ]
    database = Database(conninfo)
    await database.open()
    try:
        for facts in (opened, replies):
            began_s = time.perf_counter()
            for start in range(0, len(facts), GATE_BATCH):
                await settle(
                    database,
                    facts[start : start + GATE_BATCH],
                    actor="bench",
                    limits=Limits(),
                    upstream={},
                )
            took_s = time.perf_counter() - began_s
    finally:
        await database.close()
    return DELIVERIES / took_s
