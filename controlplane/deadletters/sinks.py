"""Lists dead letters, in the transaction in which the recorder writes their records."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from agents import topics
from agents.cloudevents import HeaderError, decode_headers
from agents.postgres import Connection, plain
from agents.records import Record
from agents.work import REDRIVE, open_letter

LIST = """
INSERT INTO deadletters_letter (partition, "offset", at, trace_id, agent, topic, topic_partition,
  topic_offset, key, reason, attempts, size_bytes, redrive_of, state, decided_why)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, 'open', '')
"""
NAME_MAX_CHARS = 200
MAX_INT = 2**31 - 1
MAX_BIGINT = 2**63 - 1


async def list_letters(connection: Connection, records: Iterable[Record]) -> None:
    letters = [
        row_of(record) for record in records if record.topic == topics.DEAD_LETTERS
    ]
    if letters:
        async with connection.cursor() as cursor:
            await cursor.executemany(LIST, letters)


def row_of(record: Record) -> tuple[Any, ...]:
    """Anybody who may write to the topic may write anything, so nothing is taken for granted."""
    headers, story = open_letter(record.headers)
    partition = number(story.get("ilk_dlq_partition", ""), MAX_INT)
    offset = number(story.get("ilk_dlq_offset", ""), MAX_BIGINT)
    return (
        record.partition,
        record.offset,
        datetime.fromtimestamp(record.timestamp_ms / 1000, UTC),
        _trace_id(record),
        _name(story.get("ilk_dlq_agent", "")),
        _name(story.get("ilk_dlq_topic", "")),
        partition,
        offset,
        _name((record.key or b"").decode(errors="backslashreplace")),
        plain(story.get("ilk_dlq_reason", "")),
        number(story.get("ilk_dlq_attempts", ""), MAX_INT) or 0,
        len(record.value),
        _name(dict(headers).get(REDRIVE, b"").decode(errors="replace")),
    )


def _trace_id(record: Record) -> str:
    """Return that of the index: nothing if the headers cannot be read."""
    try:
        return decode_headers(record.headers).trace_id
    except HeaderError:
        return ""


def _name(text: str) -> str:
    return plain(text)[:NAME_MAX_CHARS]


def number(text: str, largest: int) -> int | None:
    """Return the number that a text is, if it is one that fits."""
    if not (text.isascii() and text.isdecimal()) or len(text) > len(str(largest)):
        return None
    found = int(text)
    return found if found <= largest else None
