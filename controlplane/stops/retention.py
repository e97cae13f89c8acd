"""How long Kafka keeps what waits for stopped agents, counted down to half of it."""

from datetime import UTC, datetime, timedelta
from typing import Literal

import msgspec
from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone

from agents.broker import BrokerError
from agents.topic_setup import keep_for, retentions
from agents.topics import REQUESTS, TOPICS, request_topic
from controlplane.audit import actions as audit
from controlplane.spoken import spoken
from controlplane.stops import waiting
from controlplane.stops.models import Stop
from controlplane.stops.targets import agents_in
from controlplane.stops.waiting import Waiting

NEAR = timedelta(hours=1)
TIMEOUT_S = 5.0
DAY_MS = 86_400_000
MOST_DAYS = 365  # for longer than that is a matter of Kafka's own tools

State = Literal["empty", "fine", "near", "past", "for_ever"]


class NotExtendedError(Exception):
    """Kafka has not confirmed that it keeps everything for longer."""


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """A topic that stopped agents read. oldest_at is that of the oldest record that waits for one of them."""

    topic: str
    retention_ms: int
    oldest_at: datetime | None

    @property
    def kept_for(self) -> str:
        return _span(self.retention_ms)

    @property
    def declared(self) -> str:
        """How long it was declared to be kept, where that is something else."""
        declared_ms = TOPICS[self.topic].retention_ms
        return "" if declared_ms == self.retention_ms else _span(declared_ms)

    @property
    def deadline_at(self) -> datetime | None:
        """When half of the time is over for the oldest."""
        if self.oldest_at is None or self.retention_ms < 0:
            return None
        return self.oldest_at + timedelta(milliseconds=self.retention_ms / 2)

    @property
    def state(self) -> State:
        if self.oldest_at is None:
            return "empty"
        if self.deadline_at is None:
            return "for_ever"
        left = self.deadline_at - timezone.now()
        return "past" if left < timedelta(0) else "near" if left < NEAR else "fine"

    @property
    def left(self) -> str:
        assert self.deadline_at is not None
        return spoken(abs(self.deadline_at - timezone.now()))


class Retention(msgspec.Struct, frozen=True, kw_only=True):
    """rows is None while nothing is known; error says why, unless the first look is still under way."""

    rows: list[Kept] | None = None
    error: str = ""

    @property
    def longer_days(self) -> int | None:
        """Return for how many days everything could be kept instead: twice the shortest time there is."""
        finite = [row.retention_ms for row in self.rows or () if row.retention_ms >= 0]
        days = -(-2 * min(finite) // DAY_MS) if finite else MOST_DAYS + 1
        return days if days <= MOST_DAYS else None

    @property
    def is_past(self) -> bool:
        return any(row.state == "past" for row in self.rows or ())


def retention_of(stop: Stop) -> Retention | None:
    """Return what is known of a soft stop that is not over; waits for nobody."""
    if stop.mode != Stop.Mode.SOFT or stop.released_at is not None:
        return None
    seen = waiting.look.peek()
    if not isinstance(seen, Waiting):
        return Retention(error=seen or "")
    return Retention(rows=_rows(stop, seen))


def _rows(stop: Stop, seen: Waiting) -> list[Kept]:
    return [
        Kept(
            topic=topic,
            retention_ms=seen.retention_ms[topic],
            oldest_at=_oldest_at(agents, topic, seen),
        )
        for topic, agents in topics_of(stop).items()
        if topic in seen.retention_ms
    ]


def _oldest_at(agents: list[str], topic: str, seen: Waiting) -> datetime | None:
    times = [seen.oldest_ms.get((agent, topic)) for agent in agents]
    known = [each for each in times if each is not None]
    return datetime.fromtimestamp(min(known) / 1000, UTC) if known else None


def topics_of(stop: Stop) -> dict[str, list[str]]:
    """Return what the stopped agents read, by topic; of a tier's stop not the requests of other tiers."""
    is_tier = stop.scope == Stop.Scope.TIER
    others = set(REQUESTS) - {request_topic(stop.value)} if is_tier else set()
    found: dict[str, list[str]] = {}
    for agent in agents_in(stop.scope, stop.value):
        for topic in waiting.reads().get(agent, ()):
            if topic not in others:
                found.setdefault(topic, []).append(agent)
    return found


def extend_retention(stop: Stop, *, days: int, extender: User | str) -> dict[str, int]:
    """Have Kafka keep everything that waits for a soft stop's agents for so many days at least.

    Return what it then says. The same again changes nothing, and nothing is kept for shorter than before.
    Not inside a transaction; each try has its audit entry, whatever came of it.
    """
    wanted_ms = days * DAY_MS
    before: dict[str, int] = {}
    try:
        before = retentions(settings.KAFKA, topics_of(stop), timeout_s=TIMEOUT_S)
        short = {name: wanted_ms for name, ms in before.items() if 0 <= ms < wanted_ms}
        after = before | keep_for(settings.KAFKA, short, timeout_s=TIMEOUT_S)
    except BrokerError as error:
        _log(stop, extender, days=days, before=before, failure=str(error))
        raise NotExtendedError(f"Kafka has not confirmed it: {error}.") from error
    unmet = [name for name in short if after[name] != wanted_ms]
    _log(stop, extender, days=days, before=before, after=after)
    waiting.look.look_again()
    if unmet:
        raise NotExtendedError(f"Kafka still keeps {', '.join(unmet)} as before.")
    return after


def _log(stop: Stop, extender: User | str, **detail: object) -> None:
    kind = "retention_not_extended" if "failure" in detail else "retention_extended"
    with transaction.atomic():
        audit.record(extender, kind, f"stop:{stop.pk}", detail=dict(detail))


def _span(retention_ms: int) -> str:
    return (
        "for ever" if retention_ms < 0 else spoken(timedelta(milliseconds=retention_ms))
    )
