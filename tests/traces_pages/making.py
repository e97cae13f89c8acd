"""Rows of the trace index, as the recorder would copy them."""

import hashlib
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from controlplane.traces.models import TracePayload, TraceRecord

START = datetime(2026, 11, 21, 14, 2, 40, 118_000, tzinfo=UTC)


def after(ms: float) -> datetime:
    return START + timedelta(milliseconds=ms)


def make_record(
    trace_id: str, topic: str, *, ms: float = 0, **fields: Any
) -> TraceRecord:
    """A record of the index; ms after the trace began."""
    number = TraceRecord.objects.filter(topic=topic).count()
    defaults = {
        "topic": topic,
        "partition": 3,
        "offset": 100 + number,
        "at": after(ms),
        "trace_id": trace_id,
        "event_id": str(uuid4()),
        "parents": [],
        "type": "UserMessage",
        "agent": "widget",
        "conversation_id": "c_1",
        "workflow": "chat",
        "tier": "pro",
        "subject": "u_1",
        "text": "",
        "key_sha256": b"k" * 32,
        "headers_sha256": b"h" * 32,
        "value_sha256": b"v" * 32,
        "size_bytes": 2,
    }
    return TraceRecord.objects.create(**(defaults | fields))


def make_payload(
    record: TraceRecord,
    value: bytes,
    *,
    headers: Sequence[tuple[str, str]] = (("ce_id", "N2Qw"),),
) -> TracePayload:
    """The bytes of a record; headers are base64."""
    return TracePayload.objects.create(
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        at=record.at,
        key=b"c_1",
        value=value,
        headers=json.dumps(list(headers)).encode(),
    )


def sha256(value: bytes) -> bytes:
    return hashlib.sha256(value).digest()
