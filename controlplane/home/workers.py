"""Workers and agents, as their heartbeats tell."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

import msgspec
from django.utils import timezone

from agents.registry import AGENTS
from controlplane.home.backlog import Lags
from controlplane.home.rates import rates
from controlplane.runtime.models import HEARTBEAT_EXPIRES, ControlVersion, Heartbeat

LISTED_FOR = timedelta(minutes=15)  # a silent worker stays in sight so long
_BADNESS = {"broken": 3, "held": 2, "starting": 1, "running": 0}


class Worker(msgspec.Struct, frozen=True, kw_only=True):
    instance: str
    host: str
    pid: int
    started_at: datetime
    seen_at: datetime
    version: int
    applied_in_ms: float
    is_live: bool
    is_behind: bool  # it obeys an older version of control state
    agents: list[dict[str, Any]]


class AgentRow(msgspec.Struct, frozen=True, kw_only=True):
    """One agent over all live workers. version is the oldest that any of them obeys."""

    name: str
    workflow: str
    state: str
    why: str = ""
    workers: int = 0
    version: int | None = None
    lag: int | None = None  # not known
    rate: float | None = None
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
    rows = Heartbeat.objects.filter(seen_at__gte=now - LISTED_FOR).defer("metrics")
    return [
        Worker(
            instance=row.instance,
            host=row.host,
            pid=row.pid,
            started_at=row.started_at,
            seen_at=row.seen_at,
            version=row.applied_version,
            applied_in_ms=row.applied_in_ms,
            is_live=row.seen_at >= now - HEARTBEAT_EXPIRES,
            is_behind=row.applied_version < control.version,
            agents=row.agents,
        )
        for row in rows.order_by("host", "started_at", "pk")
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
    said: dict[str, list[tuple[Worker, dict[str, Any]]]] = {name: [] for name in AGENTS}
    for worker in listed:
        if worker.is_live:
            for status in worker.agents:
                said.setdefault(status["agent"], []).append((worker, status))
    return [
        _agent_row(name, statuses, _lag(name, lags)) for name, statuses in said.items()
    ]


def _lag(name: str, lags: Lags | None) -> int | None:
    """Add up an agent's topics. Nobody measures an agent that is not the product's."""
    if lags is None or name not in AGENTS:
        return None
    return sum(records for (agent, _), records in lags.items() if agent == name)


def _agent_row(
    name: str, statuses: list[tuple[Worker, dict[str, Any]]], lag: int | None
) -> AgentRow:
    workflow = AGENTS[name][0] if name in AGENTS else ""
    if not statuses:
        return AgentRow(name=name, workflow=workflow, state="missing", lag=lag)
    worst = max(
        (status for _, status in statuses),
        key=lambda status: _BADNESS.get(status["state"], 1),
    )
    return AgentRow(
        name=name,
        workflow=workflow,
        state=worst["state"],
        why=worst["why"],
        workers=len(statuses),
        version=min(worker.version for worker, _ in statuses),
        lag=lag,
        rate=_rate(name, statuses),
        in_flight=sum(status["in_flight"] for _, status in statuses),
        errors=sum(status["errors"] for _, status in statuses),
    )


def _rate(name: str, statuses: list[tuple[Worker, dict[str, Any]]]) -> float | None:
    known = [
        rate
        for worker, status in statuses
        if (
            rate := rates.per_second(
                worker.instance, name, seen_at=worker.seen_at, done=status["done"]
            )
        )
        is not None
    ]
    return sum(known) if known else None
