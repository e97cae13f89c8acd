"""How far a ramped release has come, and whether it still holds anybody back."""

from datetime import timedelta

import msgspec
from django.utils import timezone

from controlplane.runtime.models import Heartbeat
from controlplane.stops.models import ReleasePace, Stop
from controlplane.stops.targets import agents_in

RAMP_PER_S: float = 20  # unless the person who releases says otherwise
MIN_PER_S, MAX_PER_S = 0.1, 1_000.0
CALM_FOR = timedelta(seconds=5)  # nobody wanted more than it gave


class Ramp(msgspec.Struct, frozen=True, kw_only=True):
    """started: records, by agent, in the order of the chain. nobody_runs: agents whose backlog nobody sees."""

    per_s: float
    is_new: bool  # who waits may not have asked yet
    started: dict[str, int]
    held_back: list[str]
    nobody_runs: list[str]
    behind: list[str]  # workers that have not heard of the release

    @property
    def is_needed(self) -> bool:
        return bool(self.is_new or self.held_back or self.nobody_runs or self.behind)


def ramp_of(stop: Stop) -> Ramp:
    assert stop.ramp_per_s is not None
    assert stop.releasing_at is not None
    names = agents_in(stop.scope, stop.value)
    paces = {pace.agent: pace for pace in stop.paces.all()}
    live = [
        (row, {each["agent"] for each in row.agents})
        for row in Heartbeat.objects.live().defer("metrics")
    ]
    run = set().union(*(agents for _, agents in live))
    return Ramp(
        per_s=stop.ramp_per_s,
        is_new=stop.releasing_at > timezone.now() - CALM_FOR,
        started={name: paces[name].drawn for name in names if name in paces},
        held_back=[name for name in names if _is_short(paces.get(name))],
        nobody_runs=[name for name in names if name not in run],
        behind=[
            row.instance
            for row, agents in live
            if agents & set(names) and row.applied_version < stop.release_version
        ],
    )


def _is_short(pace: ReleasePace | None) -> bool:
    if pace is None or pace.short_at is None:
        return False
    return pace.short_at > timezone.now() - CALM_FOR
