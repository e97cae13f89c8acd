"""The recorder: copies every record into the trace index, and keeps its own offsets there."""

import base64
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import UTC, datetime
from typing import Any

import msgspec
import psycopg
import structlog
from psycopg.types.json import Jsonb

from agents import topics
from agents.agent import Agent
from agents.cloudevents import Envelope, HeaderError, decode_headers
from agents.postgres import Connection, plain
from agents.records import Partition, Record
from agents.tools import Tools
from controlplane.deadletters.sinks import list_letters
from guardrails.masking import Masker

log = structlog.get_logger()

_START = """
INSERT INTO traces_recorderoffset (topic, partition, next_offset) VALUES (%s, %s, 0)
ON CONFLICT (topic, partition) DO UPDATE SET next_offset = traces_recorderoffset.next_offset
RETURNING next_offset
"""
_LOCK = """
SELECT topic, partition, next_offset FROM traces_recorderoffset
WHERE (topic, partition) IN (SELECT * FROM unnest(%s::text[], %s::int[]))
ORDER BY topic, partition FOR UPDATE
"""
_MOVE = """
UPDATE traces_recorderoffset SET next_offset = %s
WHERE topic = %s AND partition = %s AND next_offset = %s
"""
_REWIND = """
UPDATE traces_recorderoffset SET next_offset = %s WHERE topic = %s AND partition = %s
"""
_NEVER_WRITTEN = """
SELECT topic, partition, min("offset")
FROM unnest(%s::text[], %s::int[], %s::bigint[], %s::timestamptz[])
  AS read (topic, partition, "offset", at)
WHERE NOT EXISTS (
  SELECT FROM traces_record written
  WHERE written.topic = read.topic AND written.partition = read.partition
    AND written."offset" = read."offset" AND written.at = read.at)
GROUP BY topic, partition
"""
_INSERT_AUDIT = """
INSERT INTO audit_entry (at, actor, action, subject, trace_id, detail)
VALUES (clock_timestamp(), 'recorder', %s, %s, '', %s)
"""
COPY_INDEX = """
COPY traces_record (topic, partition, "offset", at, trace_id, event_id, parents, type, agent,
  conversation_id, workflow, tier, subject, text, rules, backend, key_sha256, headers_sha256,
  value_sha256, size_bytes, watched) FROM STDIN
"""
COPY_PAYLOAD = """
COPY traces_payload (topic, partition, "offset", at, key, value, headers) FROM STDIN
"""
# Nobody waits for the index. A transaction costs more than a row, and each fetch names every
# partition of every topic.
LINGER_S = 0.2
# An index cannot take longer ones. The whole key is in the payload.
KEY_MAX_CHARS = 200
_UNREAD = Envelope(id="", type="", source="", trace_id="")
_VALUE = msgspec.json.Decoder(dict[str, Any])


class _Hit(msgspec.Struct):
    rule: str


class _Hits(msgspec.Struct):
    findings: list[_Hit]
    shadow: list[_Hit] = []


def recorder(tools: Tools) -> Agent:
    begun: set[Partition] = set()  # assigned, and no record of them was written yet

    async def record_batch(records: Sequence[Record]) -> None:
        async with tools.database.connection() as connection, connection.transaction():
            await record(connection, records, masker=tools.masker, begun=begun)
        begun.difference_update((record.topic, record.partition) for record in records)

    def start_offsets(partitions: list[Partition]) -> Mapping[Partition, int]:
        begun.update(partitions)
        with psycopg.connect(tools.conninfo, connect_timeout=5) as connection:
            return {
                partition: _start(connection, partition)
                for partition in sorted(partitions)
            }

    return Agent(
        name="recorder",
        description="Writes every record into the trace index.",
        kind="sink",
        workflow="platform",
        reads=tuple(topics.TOPICS),
        handle_records=record_batch,
        start_offsets=start_offsets,
        batch_size=1_000,
        linger_s=LINGER_S,
    )


def _start(
    connection: "psycopg.Connection[tuple[Any, ...]]", partition: Partition
) -> int:
    row = connection.execute(_START, partition).fetchone()
    assert row is not None
    return int(row[0])


async def record(
    connection: Connection,
    records: Sequence[Record],
    *,
    masker: Masker,
    begun: AbstractSet[Partition] = frozenset(),
) -> int:
    """Copy what is not yet there and move the offsets, in the caller's transaction.

    The offsets' rows are locked, so of two recorders the later one finds its records written.
    begun: partitions whose first record after their assignment is among these.
    """
    positions = await _lock_offsets(connection, records)
    if _before(records, positions):
        positions |= await _rewind(connection, _before(records, positions), positions)
    fresh = [
        record
        for record in records
        if record.offset >= positions[record.topic, record.partition]
    ]
    if len(fresh) < len(records):
        log.warning("recorder_was_overtaken", written_before=len(records) - len(fresh))
    if fresh:
        await _tell_of_gaps(connection, fresh, positions, begun)
        await _copy(connection, fresh, masker)
        await list_letters(connection, fresh)
        await _move_offsets(connection, fresh, positions)
    return len(fresh)


def _before(
    records: Sequence[Record], positions: Mapping[Partition, int]
) -> list[Record]:
    return [
        record
        for record in records
        if record.offset < positions[record.topic, record.partition]
    ]


async def _rewind(
    connection: Connection, records: list[Record], positions: Mapping[Partition, int]
) -> dict[Partition, int]:
    """Move offsets back to the first of these records that no row is about.

    What was written before is in the index with its coordinates and Kafka's append time. What is
    not there belongs to a log that has replaced the one we knew.
    """
    columns = zip(
        *((r.topic, r.partition, r.offset, _at(r)) for r in records), strict=True
    )
    cursor = await connection.execute(_NEVER_WRITTEN, [list(c) for c in columns])
    moved = {
        (topic, number): offset for topic, number, offset in await cursor.fetchall()
    }
    for (topic, number), offset in moved.items():
        await connection.execute(_REWIND, [offset, topic, number])
        detail = {"recorded_up_to": positions[topic, number], "goes_on_at": offset}
        await _tell(connection, "log_replaced", (topic, number), detail)
    return moved


async def _tell_of_gaps(
    connection: Connection,
    fresh: Iterable[Record],
    positions: Mapping[Partition, int],
    begun: AbstractSet[Partition],
) -> None:
    """Say what Kafka no longer had when the recorder came back to a partition.

    At most, for offsets may be taken by what is no record. Compaction leaves gaps of its own.
    """
    firsts: dict[Partition, int] = {}
    for record in fresh:
        firsts.setdefault((record.topic, record.partition), record.offset)
    for partition in begun & firsts.keys():
        position, first = positions[partition], firsts[partition]
        if 0 < position < first and not topics.TOPICS[partition[0]].compacted:
            detail = {"recorded_up_to": position, "goes_on_at": first}
            detail |= {"missing_at_most": first - position}
            await _tell(connection, "records_missed", partition, detail)


async def _tell(
    connection: Connection, action: str, partition: Partition, detail: dict[str, int]
) -> None:
    subject = f"{partition[0]}/{partition[1]}"
    log.warning(action, subject=subject, **detail)
    await connection.execute(_INSERT_AUDIT, [action, subject, Jsonb(detail)])


async def _lock_offsets(
    connection: Connection, records: Sequence[Record]
) -> dict[Partition, int]:
    partitions = sorted({(record.topic, record.partition) for record in records})
    names, numbers = zip(*partitions, strict=True)
    cursor = await connection.execute(_LOCK, [list(names), list(numbers)])
    return {
        (topic, number): offset for topic, number, offset in await cursor.fetchall()
    }


async def _move_offsets(
    connection: Connection, fresh: Iterable[Record], positions: dict[Partition, int]
) -> None:
    ends = {(record.topic, record.partition): record.offset + 1 for record in fresh}
    async with connection.cursor() as cursor:
        await cursor.executemany(
            _MOVE,
            [
                (end, topic, partition, positions[topic, partition])
                for (topic, partition), end in ends.items()
            ],
        )


async def _copy(
    connection: Connection, records: Sequence[Record], masker: Masker
) -> None:
    async with connection.cursor() as cursor:
        async with cursor.copy(COPY_INDEX) as copy:
            for record in records:
                await copy.write_row(index_row(record, masker))
        async with cursor.copy(COPY_PAYLOAD) as copy:
            for record in records:
                await copy.write_row(payload_row(record))


def index_row(record: Record, masker: Masker) -> tuple[Any, ...]:
    """Return a row of the index. A record that cannot be read is indexed by its coordinates."""
    try:
        envelope = decode_headers(record.headers)
    except HeaderError:
        envelope = _UNREAD
    headers, value = _headers_json(record), _value(record)
    rules, watched = _rules(value)
    return (
        record.topic,
        record.partition,
        record.offset,
        _at(record),
        envelope.trace_id,
        plain(envelope.id),
        [plain(parent) for parent in envelope.parents],
        plain(envelope.type),
        plain(envelope.source),
        plain((record.key or b"").decode(errors="backslashreplace"))[:KEY_MAX_CHARS],
        plain(envelope.workflow),
        plain(envelope.tier),
        plain(envelope.subject),
        masker.hide_or_omit(_text(value, "text")),
        rules,
        _text(value, "backend"),
        hashlib.sha256(record.key or b"").digest(),
        hashlib.sha256(headers).digest(),
        hashlib.sha256(record.value).digest(),
        len(record.value),
        watched,
    )


def payload_row(record: Record) -> tuple[Any, ...]:
    return (
        record.topic,
        record.partition,
        record.offset,
        _at(record),
        record.key,
        record.value,
        _headers_json(record),
    )


def _headers_json(record: Record) -> bytes:
    return msgspec.json.encode(
        [[name, base64.b64encode(value).decode()] for name, value in record.headers]
    )


def _at(record: Record) -> datetime:
    return datetime.fromtimestamp(record.timestamp_ms / 1000, UTC)


def _value(record: Record) -> dict[str, Any]:
    """Return its fields; nothing of what cannot be read."""
    try:
        return _VALUE.decode(record.value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}


def _text(value: dict[str, Any], name: str) -> str:
    text = value.get(name, "")
    return plain(text) if isinstance(text, str) else ""


def _rules(value: dict[str, Any]) -> tuple[list[str], list[str]]:
    """Return the rules that hit in the record's verdict, if it carries one, and those that only watched."""
    try:
        hits = msgspec.convert(value.get("verdict"), _Hits)
    except msgspec.ValidationError:
        return [], []
    return _names(hits.findings), _names(hits.shadow)


def _names(hits: Iterable[_Hit]) -> list[str]:
    return sorted({plain(hit.rule) for hit in hits})
