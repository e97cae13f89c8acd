"""What became of every turn that a stop could have met: each is in exactly one place."""

from datetime import timedelta

import msgspec
from django.db.models import Count, Exists, OuterRef, Q, QuerySet

from controlplane.chat.models import Outcome, Turn
from controlplane.stops.models import ListedTurn, Stop

OPEN_FOR_AT_MOST = timedelta(days=1)  # a turn has its deadline long before

_FINISHED = ("delivered", "rejected", "expired")
_HELD = ("held", "approved")  # decided is not delivered


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """Turns. Of taken_in are all that were not settled at the request, and all that came until the release was over."""

    taken_in: int
    finished: int
    held: int
    failed: int
    under_way: int
    without_outcome: int
    unknown: int  # of these all: what the proof had to end

    @property
    def is_whole(self) -> bool:
        return self.taken_in == self.finished + self.held + self.failed


def receipt_of(stop: Stop) -> Receipt:
    """Count turns apart from outcomes: what has none is found so."""
    taken_in = turns_met(stop)
    by_state = dict.fromkeys(Outcome.State.values, 0) | dict(
        Outcome.objects.filter(effect="reply", turn__in=taken_in)
        .values_list("state")
        .annotate(count=Count("pk"))
    )
    count = taken_in.count()
    return Receipt(
        taken_in=count,
        finished=sum(by_state[state] for state in _FINISHED),
        held=sum(by_state[state] for state in _HELD),
        failed=by_state["failed"],
        under_way=by_state["open"],
        without_outcome=count - sum(by_state.values()),
        unknown=stop.listed.filter(fate=ListedTurn.Fate.UNKNOWN).count(),
    )


def turns_met(stop: Stop) -> "QuerySet[Turn]":
    """Return them; what Kafka never confirmed was not taken in."""
    outcome = Outcome.objects.filter(effect="reply", turn=OuterRef("pk"))
    met = (
        Q(created_at__gte=stop.requested_at)
        | Exists(outcome.filter(state__in=["open", "held"]))
        | Exists(outcome.filter(changed_at__gte=stop.requested_at))
    )
    since = stop.requested_at - OPEN_FOR_AT_MOST
    turns = stop.turns().filter(met, created_at__gte=since, accepted_at__isnull=False)
    return turns.filter(created_at__lte=stop.released_at) if stop.released_at else turns
