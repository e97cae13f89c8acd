"""Rules of automatic stops and what they count, as rows."""

from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from django.utils import timezone

from controlplane.chat.models import Feedback, Judgement, Message, ModelCall
from controlplane.deadletters.models import Letter
from controlplane.stops.models import StopRule
from tests.factories import make_conversation, make_turn

LONG_AGO = timedelta(days=1)
BAD = "x"  # what is not is a point


def make_rule(name: str = "flagged-replies", **fields: Any) -> StopRule:
    """More than 20 % of the last 50 replies flagged stop everything."""
    defaults: dict[str, Any] = {
        "metric": "flagged_share",
        "scope": "everything",
        "threshold": 20,
        "window": 50,
        "minimum": 50,
        "is_on": True,
        "changed_at": timezone.now() - LONG_AGO,
    }
    return StopRule.objects.create(name=name, **(defaults | fields))


def make_judgements(marks: str, **fields: Any) -> None:
    """x was flagged. The last of them is the latest."""
    talk = make_conversation()
    for mark in marks:
        defaults: dict[str, Any] = {
            "workflow": "chat",
            "source": "output-guard",
            "tier": "free",
            "judged_at": timezone.now(),
        }
        Judgement.objects.create(
            turn=make_turn(talk), is_flagged=mark == BAD, **(defaults | fields)
        )


def make_calls(marks: str) -> None:
    for mark in marks:
        has_failed = mark == BAD
        ModelCall.objects.create(
            request_id=str(uuid4()),
            tier="free",
            backend="fallback" if has_failed else "demo",
            model="",
            messages=[],
            answer="x",
            kind="fallback" if has_failed else "reply",
            latency_ms=1,
        )


def make_ratings(marks: str, *, delivered_at: datetime | None = None) -> None:
    talk = make_conversation()
    for mark in marks:
        turn = make_turn(talk)
        talk.latest_seq += 1
        talk.save(update_fields=["latest_seq"])
        answer = Message.objects.create(
            conversation=talk,
            seq=talk.latest_seq,
            turn=turn,
            role="assistant",
            text="x",
            delivered_at=delivered_at or timezone.now(),
        )
        rating = "down" if mark == BAD else "up"
        Feedback.objects.create(message=answer, rating=rating)


def make_letters(count: int, *, agent: str = "responder", age_s: float = 0) -> None:
    Letter.objects.bulk_create(
        Letter(
            partition=0,
            offset=Letter.objects.count() + number,
            at=timezone.now() - timedelta(seconds=age_s),
            agent=agent,
            attempts=1,
            size_bytes=1,
        )
        for number in range(count)
    )
