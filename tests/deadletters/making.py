"""Dead letters as the recorder would write them: the row, the index and the bytes."""

import hashlib
import json
from base64 import b64encode
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import msgspec

from agents import cloudevents, topics
from agents.cloudevents import Envelope, Headers
from agents.events import ModelRequest
from agents.postgres import plain
from agents.records import Record
from agents.work import dead_letter
from controlplane.chat.models import Outcome, Turn
from controlplane.deadletters.models import Letter
from controlplane.traces.models import TracePayload
from tests.factories import make_turn
from tests.traces_pages.making import make_record

START = datetime(2026, 11, 21, 14, 2, 40, 118_000, tzinfo=UTC)
REQUESTS = "agent.requests.free"


def headers_for(trace_id: str = "", **fields: Any) -> Headers:
    defaults = {
        "id": str(uuid4()),
        "type": "ModelRequest",
        "source": "tier-router",
        "trace_id": trace_id or uuid4().hex,
    }
    return cloudevents.encode_headers(Envelope(**(defaults | fields)))


def make_letter(
    value: bytes = b'{"text": "hello"}',
    *,
    topic: str = REQUESTS,
    agent: str = "responder",
    reason: str = "ValueError: it was bad",
    key: bytes | None = b"c_1",
    headers: Headers | None = None,
    **fields: Any,
) -> Letter:
    """A letter, a second after the one before it."""
    number = Letter.objects.count()
    headers = headers_for() if headers is None else headers
    original = Record(
        topic=topic,
        partition=2,
        offset=40 + number,
        timestamp_ms=int(START.timestamp() * 1000),
        key=key,
        value=value,
        headers=headers,
    )
    whole = dead_letter(original, agent=agent, reason=reason, attempts=3)
    trace_id = _trace_of(headers)
    defaults = {
        "partition": 3,
        "offset": 100 + number,
        "at": START + timedelta(seconds=number),
        "trace_id": trace_id,
        "agent": agent,
        "topic": topic,
        "topic_partition": 2,
        "topic_offset": 40 + number,
        "key": plain((key or b"").decode(errors="backslashreplace")),
        "reason": reason,
        "attempts": 3,
        "size_bytes": len(value),
    }
    letter = Letter.objects.create(**(defaults | fields))
    make_record(
        trace_id,
        topics.DEAD_LETTERS,
        partition=letter.partition,
        offset=letter.offset,
        at=letter.at,
        value_sha256=hashlib.sha256(value).digest(),
        size_bytes=len(value),
    )
    TracePayload.objects.create(
        topic=topics.DEAD_LETTERS,
        partition=letter.partition,
        offset=letter.offset,
        at=letter.at,
        key=key,
        value=value,
        headers=json.dumps(
            [[name, b64encode(data).decode()] for name, data in whole.headers]
        ).encode(),
    )
    return letter


def _trace_of(headers: Headers) -> str:
    try:
        return cloudevents.decode_headers(headers).trace_id
    except cloudevents.HeaderError:
        return ""


def failed_turn(**fields: Any) -> Turn:
    turn = make_turn(**fields)
    Outcome.objects.create(
        turn=turn, state="failed", record_id=f"dlq:{turn.trace_id}", reason="it was bad"
    )
    return turn


def letter_of(turn: Turn, **fields: Any) -> Letter:
    """The letter of a turn's request to the model."""
    request = ModelRequest(
        turn_id=turn.pk,
        conversation_id=turn.conversation_id,
        tier="free",
        text=turn.text,
    )
    return make_letter(
        msgspec.json.encode(request), headers=headers_for(turn.trace_id), **fields
    )
