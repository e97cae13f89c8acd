"""Records of messages in the trace index, written by the recorder's own rows."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any
from uuid import uuid4

import msgspec
from django.db import connection

from agents import cloudevents, topics
from agents.cloudevents import Envelope
from agents.events import FinalResponse, FlaggedResponse, PendingResponse, UserMessage
from agents.records import Record
from controlplane.backtests.models import Backtest
from controlplane.traces.sinks import COPY_INDEX, COPY_PAYLOAD, index_row, payload_row
from guardrails.verdicts import Verdict
from tests.guardrails.factories import make_masker

START = datetime(2026, 11, 21, 14, 0, tzinfo=UTC)
PASSED = Verdict(action="allow")
_numbers = count()


def write(*records: Record) -> None:
    write_without_bytes(*records)
    with connection.cursor() as cursor, cursor.copy(COPY_PAYLOAD) as copy:
        for record in records:
            copy.write_row(payload_row(record))


def write_without_bytes(*records: Record) -> None:
    masker = make_masker()
    with connection.cursor() as cursor, cursor.copy(COPY_INDEX) as copy:
        for record in records:
            copy.write_row(index_row(record, masker))


def lose_sample(job: Backtest, number: int) -> None:
    """Let the record of a sample be one that is not there any more."""
    job.refresh_from_db()
    assert job.result is not None
    job.result["samples"][number]["origin"]["offset"] += 1_000_000
    job.save(update_fields=["result"])


def make_record(
    topic: str,
    data: object,
    *,
    minute: float = 0,
    agent: str = "output-guard",
    event_id: str = "",
) -> Record:
    """minute: when Kafka took it, after START."""
    number = next(_numbers)
    event_id = event_id or str(uuid4())
    envelope = Envelope(
        id=event_id,
        type=type(data).__name__,
        source=agent,
        trace_id=cloudevents.trace_id_of(event_id),
        workflow="chat",
        tier="free",
    )
    at = START + timedelta(minutes=minute)
    return Record(
        topic=topic,
        partition=number % 6,
        offset=number,
        key=b"c_1",
        value=data if isinstance(data, bytes) else msgspec.json.encode(data),
        headers=cloudevents.encode_headers(envelope),
        timestamp_ms=int(at.timestamp() * 1000),
    )


def question(text: str, *, tier: str = "free", **about: Any) -> Record:
    data = UserMessage(conversation_id="c_1", text=text, tier=tier)
    return make_record(topics.USER_RAW, data, **({"agent": "widget"} | about))


def answer(
    text: str, *, tier: str = "free", kind: Any = "reply", **about: Any
) -> Record:
    turn = _turn(tier, PASSED)
    data = FinalResponse(text=text, kind=kind, **turn)
    return make_record(topics.RESPONSES_FINAL, data, **about)


def flagged(text: str, *, tier: str = "free", **about: Any) -> Record:
    turn = _turn(tier, Verdict(action="replace"))
    data = FlaggedResponse(question="?", text=text, replaced_by="No.", **turn)
    return make_record(topics.RESPONSES_FLAGGED, data, **about)


def held(
    text: str,
    *,
    team: str = "discount",
    tier: str = "free",
    error: str = "",
    **about: Any,
) -> Record:
    turn = _turn(tier, Verdict(action="escalate", team=team, error=error))
    data = PendingResponse(question="?", text=text, team=team, **turn)
    return make_record(topics.pending_topic(team), data, **about)


def _turn(tier: str, verdict: Verdict) -> dict[str, Any]:
    return {
        "turn_id": str(uuid4()),
        "conversation_id": "c_1",
        "tier": tier,
        "verdict": verdict,
    }


def write_answers(texts: Sequence[str]) -> None:
    """One a minute."""
    write(*(answer(text, minute=number) for number, text in enumerate(texts)))
