"""The lamp and the band: what is stopped, and what that means for whoever reads it."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec
from django.contrib.auth.models import User
from django.utils import timezone

from controlplane.stops.models import Stop

DECIDE = "moderation.decide_approval"


class Lamp(msgspec.Struct, frozen=True):
    """state: running, soft, hard or unknown."""

    state: str
    label: str


class Band(msgspec.Struct, frozen=True, kw_only=True):
    """One sentence on the worst stop in force, and one on what follows from it."""

    state: str
    what: str
    since: datetime
    meaning: str
    proof: str
    others: int

    @property
    def is_today(self) -> bool:
        return timezone.localdate(self.since) == timezone.localdate()


RUNNING = Lamp("running", "Running")
UNKNOWN = Lamp("unknown", "State unknown")
SIGNED_OUT = Lamp("unknown", "Signed out")


def stops_in_force() -> list[Stop]:
    """The worst first: a hard stop outshines soft ones, an older one younger ones."""
    stops = Stop.objects.in_force().order_by("requested_at", "pk")
    return sorted(stops, key=lambda stop: stop.mode != Stop.Mode.HARD)


def lamp_of(stops: Sequence[Stop]) -> Lamp:
    if not stops:
        return RUNNING
    mode = Stop.Mode(stops[0].mode)
    scopes = [stop.value or stop.scope for stop in stops if stop.mode == mode]
    where = scopes[0] if len(scopes) == 1 else f"{len(scopes)} scopes"
    return Lamp(mode.value, f"{mode.label} stop · {where}")


def band_of(stops: Sequence[Stop], reader: User) -> Band | None:
    if not stops:
        return None
    worst = stops[0]
    mode = Stop.Mode(worst.mode)
    return Band(
        state=mode.value,
        what=f"{mode.label} stop on {_where(worst)}",
        since=worst.requested_at,
        meaning=_meaning(mode, reader),
        proof=_proof(worst),
        others=len(stops) - 1,
    )


def _where(stop: Stop) -> str:
    if stop.scope == Stop.Scope.EVERYTHING:
        return "everything"
    return f"the {stop.scope} {stop.value}"


def _meaning(mode: Stop.Mode, reader: User) -> str:
    decides = reader.has_perm(DECIDE)
    if mode == Stop.Mode.SOFT:
        held = " What is held can be decided as always." if decides else ""
        return f"Its agents start nothing new; what waits stays in Kafka.{held}"
    if decides:
        return "Nothing of it reaches a customer unless one of you decides so."
    return "Nothing of it reaches a customer without a person's decision."


def _proof(stop: Stop) -> str:
    """Only what is proven is said to be so."""
    if stop.proven_at is None:
        return "requested, not proven yet"
    took_ms = (stop.proven_at - stop.requested_at) / timedelta(milliseconds=1)
    return f"proven in {took_ms:.0f} ms"
