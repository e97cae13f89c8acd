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
RAMPED = "Its agents work off what has waited, slowly."
SIGNED_OUT = Lamp("unknown", "Signed out")


def stops_in_force() -> list[Stop]:
    """The worst first: a hard stop outshines soft ones, these what is releasing, an older one younger ones."""
    stops = Stop.objects.not_over().order_by("requested_at", "pk")
    return sorted(stops, key=lambda stop: (_is_releasing(stop), stop.mode != "hard"))


def _is_releasing(stop: Stop) -> bool:
    return stop.state == "releasing"


def lamp_of(stops: Sequence[Stop]) -> Lamp:
    if not stops:
        return RUNNING
    mode, is_releasing = Stop.Mode(stops[0].mode), _is_releasing(stops[0])
    of_mode = [
        stop
        for stop in stops
        if stop.mode == mode and _is_releasing(stop) == is_releasing
    ]
    where = _short(of_mode[0]) if len(of_mode) == 1 else f"{len(of_mode)} scopes"
    if is_releasing:
        return Lamp(mode.value, f"Releasing · {where}")
    is_proven = all(stop.proven_at is not None for stop in of_mode)
    what = f"{mode.label} stop" if is_proven else f"{mode.label} stop requested"
    return Lamp(mode.value, f"{what} · {where}")


def _short(stop: Stop) -> str:
    return stop.value or stop.scope


def band_of(stops: Sequence[Stop], reader: User) -> Band | None:
    if not stops:
        return None
    worst = stops[0]
    mode = Stop.Mode(worst.mode)
    return Band(
        state=mode.value,
        what=f"Release of the {mode.value} stop on {_where(worst)}"
        if worst.releasing_at
        else f"{mode.label} stop on {_where(worst)}",
        since=worst.releasing_at or worst.requested_at,
        meaning=RAMPED if worst.releasing_at else _meaning(mode, reader),
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
    if stop.releasing_at is not None:
        return f"at most {stop.ramp_per_s:g} records a second for each agent"
    if stop.proven_at is None:
        return "requested, not proven yet"
    took_ms = (stop.proven_at - stop.requested_at) / timedelta(milliseconds=1)
    return f"proven in {took_ms:.0f} ms"
