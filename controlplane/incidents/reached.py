"""Finds whom a stop came too late for: the replies that were delivered before it was proven."""

from datetime import datetime, timedelta
from typing import Literal

import msgspec
from django.db.models import Count, Exists, Min, OuterRef, Q, QuerySet, Subquery

from agents.registry import upstream
from controlplane.chat.models import Message, Outcome
from controlplane.stops.models import ListedTurn, Stop
from controlplane.traces.models import TraceRecord
from moderation.models import Approval

FILTERED = timedelta(hours=24)  # so long before the request the first one is looked for
UNFILTERED = timedelta(hours=1)  # where nothing says what was bad


SinceIs = Literal["chosen", "first_found", "look_back", "proof"]
UntilIs = Literal["chosen", "proof", "now"]


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """What a person asks for. Nothing of it: whatever the stop's scope has delivered."""

    rule: str = ""
    phrase: str = ""
    agent: str = ""
    backend: str = ""
    since: datetime | None = None
    until: datetime | None = None

    @property
    def is_filtered(self) -> bool:
        """Whether it says what was bad."""
        return bool(self.rule or self.phrase or self.agent or self.backend)


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """The time that is looked at, and why it begins and ends where it does."""

    since: datetime
    until: datetime
    since_is: SinceIs
    until_is: UntilIs


class Totals(msgspec.Struct, frozen=True, kw_only=True):
    replies: int
    conversations: int
    reviewed: int  # that a person had read before
    first_at: datetime | None
    not_indexed: int  # of these nobody knows yet what hit, and which backend it was


def window_of(stop: Stop, query: Query, now: datetime) -> Window:
    """Return what is looked at. With a filter it begins at the first reply that is found."""
    look_back = FILTERED if query.is_filtered else UNFILTERED
    by_itself: SinceIs = "first_found" if query.is_filtered else "look_back"
    return Window(
        since=query.since or stop.requested_at - look_back,
        until=query.until or stop.proven_at or now,
        since_is="chosen" if query.since else by_itself,
        until_is="chosen" if query.until else "proof" if stop.proven_at else "now",
    )


def window_after(stop: Stop, now: datetime) -> Window | None:
    """Return the time from the proof to the release; nothing before the proof."""
    if stop.proven_at is None:
        return None
    return Window(
        since=stop.proven_at,
        until=stop.releasing_at or now,
        since_is="proof",
        until_is="chosen",
    )


def reached(stop: Stop, query: Query, window: Window) -> QuerySet[Message]:
    """Return the replies that were delivered, oldest first. Corrections are none."""
    found = _within(stop, query, window)
    if query.rule:
        found = found.filter(_hit_by(query.rule))
    if query.backend:
        found = found.filter(Exists(_records().filter(backend=query.backend)))
    return found.order_by("delivered_at", "pk")


def totals_of(stop: Stop, query: Query, window: Window) -> Totals:
    counts = reached(stop, query, window).aggregate(
        replies=Count("pk"),
        conversations=Count("conversation", distinct=True),
        reviewed=Count("pk", filter=Q(reviewed=True)),
        first_at=Min("delivered_at"),
    )
    asks_index = query.rule or query.backend
    unknown = _not_indexed(stop, query, window) if asks_index else 0
    return Totals(**counts, not_indexed=unknown)


def outcomes_in_scope(stop: Stop) -> QuerySet[Outcome]:
    """Return the outcomes of the stop's turns; those of one agent as far as it is known whose they are."""
    found = Outcome.objects.filter(effect="reply", turn__in=stop.turns())
    if stop.scope == Stop.Scope.AGENT:
        return found.filter(source__in=[*sources_of(stop.value), ""])
    return found


def sources_of(agent: str) -> list[str]:
    """Return whose texts have this agent's work in them: its own, and those of all after it."""
    after = {name for name, before in upstream().items() if agent in before}
    return sorted({agent} | after)


def _within(stop: Stop, query: Query, window: Window) -> QuerySet[Message]:
    found = Message.objects.filter(
        _in_time(stop, window),
        role=Message.Role.ASSISTANT,
        copy=None,
        turn__in=stop.turns(),
    )
    agents = [query.agent, stop.value if stop.scope == Stop.Scope.AGENT else ""]
    for agent in filter(None, agents):
        found = found.filter(Exists(_outcomes().filter(source__in=sources_of(agent))))
    if query.phrase:
        found = found.filter(text__icontains=query.phrase)
    return found


def _in_time(stop: Stop, window: Window) -> Q:
    """Which were committed before the proof their list says, whatever the gate's clock says."""
    since, until = Q(delivered_at__gte=window.since), Q(delivered_at__lte=window.until)
    listed = stop.listed.filter(fate=ListedTurn.Fate.DELIVERED).values("turn_id")
    if window.since_is == "proof":
        return Q(delivered_at__gt=window.since) & until & ~Q(turn__in=listed)
    if window.until_is == "proof":
        return since & (until | Q(turn__in=listed))
    return since & until


def _hit_by(rule: str) -> Q:
    """In a verdict on the turn, of the index; or of an approval, which is there at once."""
    of_index = _records().filter(rules__contains=[rule])
    held = Approval.objects.filter(
        turn=OuterRef("turn"), verdict__contains={"findings": [{"rule": rule}]}
    )
    return Q(Exists(of_index)) | Q(Exists(held))


def _not_indexed(stop: Stop, query: Query, window: Window) -> int:
    decided_by = Subquery(_outcomes().values("record_id")[:1])
    record = _records().filter(event_id=OuterRef("decided_by"))
    found = _within(stop, query, window).annotate(decided_by=decided_by)
    return found.exclude(Exists(record)).count()


def _records() -> QuerySet[TraceRecord]:
    """Return the records of a reply's turn."""
    return TraceRecord.objects.filter(
        trace_id=OuterRef("turn__trace_id"), conversation_id=OuterRef("conversation")
    )


def _outcomes() -> QuerySet[Outcome]:
    return Outcome.objects.filter(effect="reply", turn=OuterRef("turn"))
