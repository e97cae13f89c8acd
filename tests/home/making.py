"""Rows and services for the control room's tests."""

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from django.utils import timezone
from msgspec import structs

from agents.admin import Positions
from agents.lags import Lags, group_of, reads
from agents.registry import AGENTS
from controlplane.home.services import (
    KAFKA,
    MODEL,
    POSTGRESQL,
    SCORERS,
    VALKEY,
    Service,
)
from controlplane.runtime.models import ControlVersion, Heartbeat
from controlplane.traces.models import RecorderOffset


def make_status(agent: str, **fields: Any) -> dict[str, Any]:
    defaults = {
        "agent": agent,
        "state": "running",
        "why": "",
        "in_flight": 0,
        "done": 0,
        "errors": 0,
        "partitions": 6,
        "lag": {},
    }
    return defaults | fields


def make_heartbeat(
    agents: Iterable[str | dict[str, Any]] = AGENTS,
    *,
    age_s: float = 0.5,
    **fields: Any,
) -> Heartbeat:
    number = Heartbeat.objects.count() + 1
    now = timezone.now()
    defaults = {
        "instance": f"host-a:{4000 + number}:abc{number:03}",
        "host": "host-a",
        "pid": 4000 + number,
        "started_at": now - timedelta(hours=1),
        "seen_at": now - timedelta(seconds=age_s),
        "applied_version": ControlVersion.objects.get(pk=1).version,
        "applied_in_ms": 12.0,
        "agents": [make_status(a) if isinstance(a, str) else a for a in agents],
    }
    return Heartbeat.objects.create(**(defaults | fields))


def all_up(*down: str) -> list[Service]:
    """Every service with a latency, except for those named."""
    return [
        service if service.name in down else structs.replace(service, latency_ms=1.5)
        for service in (POSTGRESQL, KAFKA, VALKEY, MODEL, SCORERS)
    ]


def make_positions(lags: Lags, *, recent: int = 0) -> Positions:
    """What Kafka says when agents are so far behind. The recorder has offsets of its own."""
    ends = {(topic, 0): lag for (_, topic), lag in lags.items()}
    return Positions(
        starts=dict.fromkeys(ends, 0),
        ends=ends,
        committed={
            group_of(agent): {
                (topic, number): end - lags.get((agent, topic), 0)
                for (topic, number), end in ends.items()
            }
            for agent in reads()
        },
        recent=recent,
    )


def record_everything(lags: Lags) -> None:
    """Let the recorder be done with it."""
    for (_, topic), end in lags.items():
        RecorderOffset.objects.create(topic=topic, partition=0, next_offset=end)
