"""Who is to get a correction because of a stop, and how far those that were written have come."""

from datetime import datetime
from uuid import UUID

import msgspec
from django.db.models import Max, OuterRef, QuerySet, Subquery

from controlplane.chat.corrections import Target
from controlplane.chat.models import (
    Correction,
    CorrectionCopy,
    Message,
    Turn,
)
from controlplane.incidents.reached import Query, reached, window_of
from controlplane.stops.models import Stop

State = CorrectionCopy.State


class Recipient(msgspec.Struct, frozen=True, kw_only=True):
    """A conversation, its latest reply that was bad, and the latest turn that it has."""

    conversation: str
    turn: str
    number: int
    latest: int
    tier: str
    workflow: str
    trace_id: str

    @property
    def has_moved_on(self) -> bool:
        return self.latest > self.number

    @property
    def later(self) -> int:
        return self.latest - self.number

    def target(self, *, although_moved_on: bool) -> Target:
        """The gate refuses where the conversation has a later turn than the one that was seen."""
        seen = self.latest if although_moved_on else self.number
        return Target(self.conversation, self.turn, seen)


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """Who would get a correction. as_of: later turns nobody had seen who looked at this list."""

    stop: Stop
    query: Query
    as_of: datetime
    to: list[Recipient]

    @property
    def moved_on(self) -> list[Recipient]:
        return [each for each in self.to if each.has_moved_on]

    @property
    def still_there(self) -> list[Recipient]:
        return [each for each in self.to if not each.has_moved_on]


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """A correction, and to how many conversations it has come."""

    correction: Correction
    owed: int
    delivered: int
    refused: int

    @property
    def total(self) -> int:
        return self.owed + self.delivered + self.refused

    @property
    def settled(self) -> int:
        return self.delivered + self.refused

    @property
    def others(self) -> int:
        return self.owed + self.delivered


def draft_of(stop: Stop, query: Query, as_of: datetime) -> Draft:
    window = window_of(stop, query, as_of)
    to = _recipients(reached(stop, query, window), as_of)
    return Draft(stop=stop, query=query, as_of=as_of, to=to)


def _recipients(found: "QuerySet[Message]", as_of: datetime) -> list[Recipient]:
    """Return one for each conversation."""
    seen = Turn.objects.filter(
        conversation=OuterRef("conversation"), created_at__lte=as_of
    )
    latest = seen.order_by().values("conversation").values(latest=Max("number"))
    rows = (
        found.order_by("conversation", "-turn__number")
        .distinct("conversation")
        .select_related("turn__conversation")
        .annotate(seen=Subquery(latest))
    )
    return [_recipient(row, row.seen) for row in rows]


def _recipient(row: Message, seen: int | None) -> Recipient:
    turn = row.turn
    return Recipient(
        conversation=row.conversation_id,
        turn=turn.pk,
        number=turn.number,
        latest=max(seen or 0, turn.number),
        tier=turn.effective_tier,
        workflow=turn.conversation.workflow,
        trace_id=turn.trace_id,
    )


def of_stop(stop: Stop) -> list[Progress]:
    found = Correction.objects.filter(stop_id=stop.pk).with_progress()
    return [_progress(each) for each in found.order_by("written_at", "pk")]


def of_id(stop_id: UUID, correction_id: UUID) -> Progress | None:
    found = Correction.objects.filter(stop_id=stop_id, pk=correction_id)
    correction = found.with_progress().first()
    return _progress(correction) if correction else None


def copies_of(correction: Correction, *states: str) -> "QuerySet[CorrectionCopy]":
    copies = correction.copies.select_related("turn").order_by("conversation")
    return copies.filter(state__in=states) if states else copies


def undelivered(stop: Stop) -> "QuerySet[CorrectionCopy]":
    mine = CorrectionCopy.objects.filter(correction__stop_id=stop.pk)
    found = mine.exclude(state=State.DELIVERED).select_related("correction", "turn")
    return found.order_by("asked_at", "pk")


def _progress(correction: Correction) -> Progress:
    counts = {state.value: getattr(correction, state.value) for state in State}
    return Progress(correction=correction, **counts)
