"""What Kafka refused for good: records of the outbox that nobody will read unless a person acts."""

import msgspec
from django.db.models import Count

from agents import topics
from controlplane.runtime.models import OutboxRecord

DECIDED = (
    topics.RESPONSES_APPROVED,
    topics.RESPONSES_REJECTED,
    topics.RESPONSES_EXPIRED,
)
LATEST = 5


class Refusals(msgspec.Struct, frozen=True, kw_only=True):
    """answers: how many decided answers, whose users wait; others: other records by topic."""

    answers: int = 0
    failure: str = ""
    traces: tuple[str, ...] = ()  # of the latest answers
    others: dict[str, int] = {}


def read_refusals() -> Refusals:
    """One query while there are none."""
    refused = OutboxRecord.objects.refused()
    others = dict(refused.values_list("topic").annotate(Count("pk")).order_by("topic"))
    answers = sum(others.pop(topic, 0) for topic in DECIDED)
    if not answers:
        return Refusals(others=others)
    latest = list(
        refused.filter(topic__in=DECIDED)
        .only("headers", "failure")
        .order_by("-pk")[:LATEST]
    )
    return Refusals(
        answers=answers,
        failure=latest[0].failure,
        traces=tuple(record.trace_id for record in latest if record.trace_id),
        others=others,
    )
