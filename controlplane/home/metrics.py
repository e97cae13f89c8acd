"""Prometheus metrics: the live workers' figures added up, and what PostgreSQL knows."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

from django.db.models import Count
from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from controlplane.runtime.models import Heartbeat
from controlplane.stops.models import Stop
from moderation.models import Approval, Team

Labels = tuple[tuple[str, str], ...]


def exposition() -> bytes:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(ControlPlaneCollector())
    return generate_latest(registry)


class ControlPlaneCollector(Collector):
    """Reads everything at the moment it is asked, so that every web process says the same."""

    def collect(self) -> Iterator[Metric]:
        heartbeats = list(Heartbeat.objects.live())
        yield from _added_up(heartbeats)
        yield _lag(heartbeats)
        yield _approvals()
        yield _stops()


def _added_up(heartbeats: Iterable[Heartbeat]) -> Iterator[Metric]:
    families: dict[str, dict[str, Any]] = {}
    sums: dict[str, dict[tuple[str, Labels], float]] = defaultdict(dict)
    for heartbeat in heartbeats:
        for family in heartbeat.metrics:
            families.setdefault(family["name"], family)
            into = sums[family["name"]]
            for name, labels, value in family["samples"]:
                key = (name, tuple(labels.items()))
                into[key] = into.get(key, 0.0) + value
    for name, family in families.items():
        metric = Metric(name, family["help"], family["type"])
        for (sample, labels), value in sums[name].items():
            metric.add_sample(sample, dict(labels), value)
        yield metric


def _lag(heartbeats: Iterable[Heartbeat]) -> Metric:
    lags: dict[tuple[str, str], int] = defaultdict(int)
    for heartbeat in heartbeats:
        for status in heartbeat.agents:
            for topic, records in status["lag"].items():
                lags[status["agent"], topic] += records
    gauge = GaugeMetricFamily(
        "kafka_consumer_lag",
        "Records that an agent is not yet done with.",
        labels=["agent", "topic"],
    )
    for labels, records in lags.items():
        gauge.add_metric(labels, records)
    return gauge


def _approvals() -> Metric:
    rows = Approval.objects.pending().values_list("team").annotate(Count("pk"))
    waiting = dict.fromkeys(Team.objects.values_list("slug", flat=True), 0) | dict(rows)
    gauge = GaugeMetricFamily(
        "interlock_approvals_pending",
        "Held answers that wait for a person.",
        labels=["team"],
    )
    for team, count in sorted(waiting.items()):
        gauge.add_metric([team], count)
    return gauge


def _stops() -> Metric:
    rows = Stop.objects.in_force().values_list("scope", "mode").annotate(Count("pk"))
    active = {(scope, mode): count for scope, mode, count in rows}
    gauge = GaugeMetricFamily(
        "interlock_stop_active", "Stops in force, 0 for none.", labels=["scope", "mode"]
    )
    for scope in Stop.Scope.values:
        for mode in Stop.Mode.values:
            gauge.add_metric([scope, mode], active.get((scope, mode), 0))
    return gauge
