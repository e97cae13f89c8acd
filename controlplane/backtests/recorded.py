"""Reads recorded texts from the trace index, the latest first: what users wrote, and answers that were judged.

Out of the payloads: the index has no personal data in it, so rules would not find any.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import msgspec
from django.db import connection

from agents import topics
from agents.chat.output_guard import AGENT, NO_ANSWER
from agents.events import FinalResponse, FlaggedResponse, PendingResponse, UserMessage
from controlplane.traces.models import TracePayload
from guardrails.backtest import Origin, Text

TOPICS = (
    topics.USER_RAW,
    topics.RESPONSES_FINAL,
    topics.RESPONSES_FLAGGED,
    *topics.ALL_PENDING,
)
WORKFLOW = "chat"  # of a record that names none


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)


# An index of just these topics is in this order. What waits for a person may have been held by others than the
# guard of answers: those have no answer in them.
_WANTED = f"""r.topic IN ({_listed(TOPICS)})
  AND (r.topic NOT IN ({_listed(topics.ALL_PENDING)}) OR r.agent = '{AGENT.name}')"""
_NEWEST_FIRST = 'r.at DESC, r.topic DESC, r.partition DESC, r."offset" DESC'
_NEWEST = f"""
SELECT r.topic, r.partition, r."offset", r.at FROM traces_record r
WHERE {_WANTED} ORDER BY {_NEWEST_FIRST} LIMIT 1
"""  # noqa: S608  # of names that stand in this file and in the register
_COUNT = f"""
SELECT count(*) FROM (SELECT FROM traces_record r
WHERE {_WANTED} AND (r.at, r.topic, r.partition, r."offset") < (%s, %s, %s, %s) LIMIT %s) AS found
"""  # noqa: S608
# A record that came twice has its id twice, in one trace: only the latest of them is taken.
_BATCH = f"""
SELECT r.topic, r.partition, r."offset", r.at, r.trace_id, r.workflow, p.value,
  CASE WHEN r.event_id = '' THEN false ELSE EXISTS (
    SELECT FROM traces_record later
    WHERE later.trace_id = r.trace_id AND later.event_id = r.event_id AND later.topic = r.topic
      AND (later.at, later.partition, later."offset") > (r.at, r.partition, r."offset"))
  END AS came_again
FROM traces_record r
LEFT JOIN traces_payload p ON p.topic = r.topic AND p.partition = r.partition
  AND p."offset" = r."offset" AND p.at = r.at
WHERE {_WANTED} AND (r.at, r.topic, r.partition, r."offset") < (%s, %s, %s, %s)
ORDER BY {_NEWEST_FIRST} LIMIT %s
"""  # noqa: S608


class Batch(msgspec.Struct, frozen=True):
    """records: how many were gone through; texts: what of them is to be judged. cursor: where the next begin."""

    records: int
    texts: list[Text]
    cursor: Origin


def begin() -> Origin | None:
    """Return the cursor of the latest record, or nothing if there is none."""
    with connection.cursor() as cursor:
        cursor.execute(_NEWEST)
        row = cursor.fetchone()
    if row is None:
        return None
    topic, partition, offset, at = row
    return Origin(topic, partition, offset + 1, at)


def count(before: Origin, *, at_most: int) -> int:
    with connection.cursor() as cursor:
        cursor.execute(_COUNT, [*_place(before), at_most])
        return int(cursor.fetchone()[0])


def read(before: Origin, *, at_most: int) -> Batch:
    """Return the next records before a place, in one query."""
    with connection.cursor() as cursor:
        cursor.execute(_BATCH, [*_place(before), at_most])
        rows = cursor.fetchall()
    texts = [text for row in rows if (text := _text_of(*row))]
    return Batch(len(rows), texts, Origin(*rows[-1][:4]) if rows else before)


def find(origins: Iterable[Origin]) -> dict[Origin, str]:
    """Return the texts that are still kept."""
    wanted = [(each.topic, each.partition, each.offset, each.at) for each in origins]
    found = TracePayload.objects.filter(pk__in=wanted)
    texts: dict[Origin, str] = {}
    for row in found:
        said = _read(row.topic, bytes(row.value))
        if said is not None:
            origin = Origin(row.topic, row.partition, row.offset, row.at)
            texts[origin] = said[0]
    return texts


def _place(origin: Origin) -> tuple[datetime, str, int, int]:
    return origin.at, origin.topic, origin.partition, origin.offset


def _text_of(*row: Any) -> Text | None:
    topic, partition, offset, at, trace_id, workflow, value, came_again = row
    if value is None or came_again:
        return None
    said = _read(topic, bytes(value))
    if said is None:
        return None
    text, tier = said
    return Text(
        text=text,
        direction="input" if topic == topics.USER_RAW else "output",
        tier=tier,
        workflow=workflow or WORKFLOW,
        trace_id=trace_id,
        origin=Origin(topic, partition, offset, at),
    )


def _read(topic: str, value: bytes) -> tuple[str, str] | None:
    """Return a text and its tier; nothing of a record that has none that was judged, or that cannot be read."""
    try:
        data = _DECODERS[topic].decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    if isinstance(data, FinalResponse) and data.kind != "reply":
        return None
    if isinstance(data, PendingResponse) and data.verdict.error == NO_ANSWER:
        return None
    return data.text, topics.known_tier(data.tier)


_Read = UserMessage | FinalResponse | FlaggedResponse | PendingResponse
_DECODERS: dict[str, msgspec.json.Decoder[_Read]] = {
    topic: msgspec.json.Decoder(topics.contract_of(topic)) for topic in TOPICS
}
