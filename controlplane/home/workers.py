"""Workers and agents, as their heartbeats tell."""

from collections.abc import Iterable
from datetime import datetime, timedelta

import msgspec
from django.db.models import TextField
from django.db.models.functions import Cast
from django.utils import timezone

from agents.lags import Lags
from agents.pace import BUCKETS, Pace
from agents.registry import AGENTS
from controlplane.runtime.models import HEARTBEAT_EXPIRES, ControlVersion, Heartbeat
from controlplane.spoken import spoken

LISTED_FOR = timedelta(minutes=15)  # a silent worker stays in sight so long
_BADNESS = {"broken": 3, "held": 2, "starting": 1, "running": 0}


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker says of one of its agents. pace is missing from those of earlier versions."""

    agent: str
    state: str
    why: str = ""
    in_flight: int = 0
    errors: int = 0
    pace: Pace = Pace()


# A hundred workers say a thousand of them, every two seconds.
_STATUSES = msgspec.json.Decoder(tuple[Status, ...])


class Worker(msgspec.Struct, frozen=True, kw_only=True):
    instance: str
    host: str
    pid: int
    started_at: datetime
    seen_at: datetime
    seen_ago: str
    version: int
    applied_in_ms: float
    is_live: bool
    is_behind: bool  # it obeys an older version of control state
    agents: tuple[Status, ...]

    @property
    def is_well(self) -> bool:
        return self.is_live and not self.is_behind

    @property
    def in_flight(self) -> int:
        return sum(status.in_flight for status in self.agents)

    @property
    def hosts(self) -> str:
        names = [status.agent for status in self.agents]
        return "all agents" if set(names) >= set(AGENTS) else ", ".join(names)


class AgentRow(msgspec.Struct, frozen=True, kw_only=True):
    """One agent over all live workers. version is the oldest that any of them obeys.

    recent: how many records it did in each half minute of the latest fifteen minutes, oldest first.
    """

    name: str
    workflow: str
    state: str
    why: str = ""
    workers: int = 0
    version: int | None = None
    lag: int | None = None  # not known
    rate: float | None = None
    recent: tuple[int, ...] = (0,) * BUCKETS
    in_flight: int = 0
    errors: int = 0


class Applied(msgspec.Struct, frozen=True):
    """How far the current version of control state has come."""

    version: int
    obeying: int
    live: int
    in_ms: float | None


def workers(control: ControlVersion) -> list[Worker]:
    now = timezone.now()
    rows = Heartbeat.objects.filter(seen_at__gte=now - LISTED_FOR)
    return [
        Worker(
            instance=instance,
            host=host,
            pid=pid,
            started_at=started_at,
            seen_at=seen_at,
            seen_ago=spoken(now - seen_at),
            version=version,
            applied_in_ms=applied_in_ms,
            is_live=seen_at >= now - HEARTBEAT_EXPIRES,
            is_behind=version < control.version,
            agents=_STATUSES.decode(agents),
        )
        for instance, host, pid, started_at, seen_at, version, applied_in_ms, agents in rows.order_by(
            "host", "started_at", "pk"
        ).values_list(
            "instance",
            "host",
            "pid",
            "started_at",
            "seen_at",
            "applied_version",
            "applied_in_ms",
            Cast("agents", TextField()),
        )
    ]


def applied(control: ControlVersion, listed: Iterable[Worker]) -> Applied:
    """A worker that started after the change read it at its start: it has no time of its own."""
    live = [worker for worker in listed if worker.is_live]
    times = [
        worker.applied_in_ms
        for worker in live
        if worker.version == control.version and worker.started_at < control.changed_at
    ]
    obeying = sum(not worker.is_behind for worker in live)
    return Applied(control.version, obeying, len(live), max(times, default=None))


def agent_rows(listed: Iterable[Worker], lags: Lags | None) -> list[AgentRow]:
    """Every agent of the product in its order, and what else the workers run."""
    said: dict[str, list[tuple[Worker, Status]]] = {name: [] for name in AGENTS}
    for worker in listed:
        if worker.is_live:
            for status in worker.agents:
                said.setdefault(status.agent, []).append((worker, status))
    return [
        _agent_row(name, statuses, _lag(name, lags)) for name, statuses in said.items()
    ]


def _lag(name: str, lags: Lags | None) -> int | None:
    """Add up an agent's topics. Nobody measures an agent that is not the product's."""
    if lags is None or name not in AGENTS:
        return None
    return sum(records for (agent, _), records in lags.items() if agent == name)


def _agent_row(
    name: str, said: list[tuple[Worker, Status]], lag: int | None
) -> AgentRow:
    workflow = AGENTS[name][0] if name in AGENTS else ""
    if not said:
        return AgentRow(name=name, workflow=workflow, state="missing", lag=lag)
    statuses = [status for _, status in said]
    worst = max(statuses, key=lambda status: _BADNESS.get(status.state, 1))
    return AgentRow(
        name=name,
        workflow=workflow,
        state=worst.state,
        why=worst.why,
        workers=len(said),
        version=min(worker.version for worker, _ in said),
        lag=lag,
        rate=_rate(statuses),
        recent=_recent(statuses),
        in_flight=sum(status.in_flight for status in statuses),
        errors=sum(status.errors for status in statuses),
    )


def _rate(statuses: Iterable[Status]) -> float | None:
    rates = [status.pace.per_second for status in statuses]
    known = [rate for rate in rates if rate is not None]
    return sum(known) if known else None


def _recent(statuses: Iterable[Status]) -> tuple[int, ...]:
    """Add up what workers counted, each up to its own latest half minute."""
    paces = [status.pace for status in statuses]
    until = max((pace.until for pace in paces), default=0)
    total = [0] * BUCKETS
    for pace in paces:
        late = until - pace.until
        for at, count in enumerate(pace.recent[late:]):
            total[at] += count
    return tuple(total)
