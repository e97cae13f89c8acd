"""How far a ramped release has come, and whether it still holds anybody back."""

from datetime import timedelta

import msgspec
from django.utils import timezone

from controlplane.runtime.models import Heartbeat
from controlplane.stops.models import ReleasePace, Stop
from controlplane.stops.targets import agents_in

CALM_FOR = timedelta(seconds=5)  # nobody wanted more than it gave


class Ramp(msgspec.Struct, frozen=True, kw_only=True):
    """started: records, by agent, in the order of the chain. nobody_runs: agents whose backlog nobody sees."""

    per_s: float
    started: dict[str, int]
    held_back: list[str]
    nobody_runs: list[str]
    behind: list[str]  # workers that have not heard of the release

    @property
    def is_needed(self) -> bool:
        return bool(self.held_back or self.nobody_runs or self.behind)


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
        started={name: paces[name].drawn for name in names if name in paces},
        held_back=[name for name in names if _is_short(stop, paces.get(name))],
        nobody_runs=[name for name in names if name not in run],
        behind=[
            row.instance
            for row, agents in live
            if agents & set(names) and row.applied_version < stop.release_version
        ],
    )


def _is_short(stop: Stop, pace: ReleasePace | None) -> bool:
    """Right after the release everybody is: who waits has not asked yet."""
    calm_since = timezone.now() - CALM_FOR
    latest = pace.short_at if pace is not None and pace.short_at else stop.releasing_at
    return latest is not None and latest > calm_since
