"""Who has to obey a soft stop, and whether they do: every worker that runs an agent in its scope."""

from datetime import timedelta
from typing import Literal, NamedTuple

from django.utils import timezone

from agents.registry import AGENTS
from controlplane.runtime.models import HEARTBEAT_EXPIRES, Heartbeat
from controlplane.stops.models import Stop
from controlplane.stops.targets import OURS

REMEMBERED_FOR = timedelta(hours=1)  # who fell silent before is not asked

State = Literal["obeys", "silent", "late"]


class Point(NamedTuple):
    """silent: its heartbeat has expired, so by then it held everything by itself."""

    instance: str
    state: State
    obeyed_in_ms: float | None  # not known any more once it has applied a later change
    in_flight: int  # records that it had begun or taken


def points(stop: Stop) -> list[Point]:
    now = timezone.now()
    rows = Heartbeat.objects.filter(seen_at__gte=now - REMEMBERED_FOR).defer(
        "metrics", "rule_costs"
    )
    return [
        Point(
            instance=row.instance,
            state=_state(row, stop),
            obeyed_in_ms=row.applied_in_ms
            if row.applied_version == stop.control_version
            else None,
            in_flight=sum(
                each["in_flight"] for each in row.agents if _is_in(each, stop)
            ),
        )
        for row in rows.order_by("host", "started_at", "pk")
        if any(_is_in(each, stop) for each in row.agents)
    ]


def _state(row: Heartbeat, stop: Stop) -> State:
    if row.seen_at < timezone.now() - HEARTBEAT_EXPIRES:
        return "silent"
    return "obeys" if row.applied_version >= stop.control_version else "late"


def _is_in(status: dict[str, str], stop: Stop) -> bool:
    name = status["agent"]
    workflow = AGENTS[name][0] if name in AGENTS else ""
    if workflow == OURS:
        return False
    if stop.scope == Stop.Scope.AGENT:
        return name == stop.value
    return stop.scope != Stop.Scope.WORKFLOW or workflow == stop.value
