"""Prometheus metrics: the live workers' figures added up, and what Kafka and PostgreSQL know."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

from django.db.models import Count, Q
from django.utils import timezone
from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from agents.lags import Lags
from controlplane.accounts.models import Team
from controlplane.effects.models import Effect
from controlplane.effects.states import NEEDS_PERSON
from controlplane.home.alerts import Figures, active
from controlplane.home.backlog import read_backlog
from controlplane.home.figures import measure, thresholds
from controlplane.home.workers import LISTED_FOR
from controlplane.runtime.models import HEARTBEAT_EXPIRES, Heartbeat
from controlplane.stops.models import Stop
from controlplane.stops.rule_pages import closeness_by_rule
from moderation.models import Approval

UNFINISHED = (*NEEDS_PERSON, "waiting", "sending")
Labels = tuple[tuple[str, str], ...]


def exposition() -> bytes:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(ControlPlaneCollector())
    return generate_latest(registry)


class ControlPlaneCollector(Collector):
    """Reads everything at the moment it is asked, so that every web process says the same."""

    def collect(self) -> Iterator[Metric]:
        figures = measure(read_backlog())
        yield from _added_up(Heartbeat.objects.live())
        yield _lag(figures.lags)
        yield from _figures(figures)
        yield _alerts(figures)
        yield from _approvals()
        yield _mails()
        yield _workers()
        yield _stops()
        yield _rules_of_stops()


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


def _lag(lags: Lags | None) -> Metric:
    """What is not known has no sample: 0 would be a lie."""
    gauge = GaugeMetricFamily(
        "kafka_consumer_lag",
        "Records that an agent is not yet done with.",
        labels=["agent", "topic"],
    )
    for labels, records in (lags or {}).items():
        gauge.add_metric(labels, records)
    return gauge


def _figures(figures: Figures) -> Iterator[Metric]:
    for name, text, value in (
        ("interlock_turns_unfinished", "Turns without an outcome.", figures.unfinished),
        (
            "interlock_oldest_turn_seconds",
            "How long the oldest of them waits, 0 for none.",
            figures.oldest_turn_waits.total_seconds(),
        ),
        (
            "interlock_worker_restarts",
            "Workers that crashed and were started again, in the last hour.",
            figures.restarts,
        ),
        (
            "interlock_dead_letters_per_minute",
            "Records that went to the dead letters, over five minutes.",
            figures.dead_letters_per_minute,
        ),
    ):
        gauge = GaugeMetricFamily(name, text)
        if value is not None:
            gauge.add_metric([], value)
        yield gauge


def _alerts(figures: Figures) -> Metric:
    gauge = GaugeMetricFamily(
        "interlock_alert_active",
        "1 for an alert in force; none for one whose figure is unknown.",
        labels=["alert"],
    )
    for name, is_active in active(figures, thresholds()).items():
        gauge.add_metric([name], is_active)
    return gauge


def _mails() -> Metric:
    gauge = GaugeMetricFamily(
        "interlock_mails", "Outgoing mails that are not over.", labels=["state"]
    )
    rows = Effect.objects.filter(state__in=UNFINISHED).values_list("state")
    counted = dict(rows.annotate(Count("pk")))
    for state in UNFINISHED:
        gauge.add_metric([state], counted.get(state, 0))
    return gauge


def _approvals() -> Iterator[Metric]:
    is_late = Q(deadline_at__lt=timezone.now())
    rows = Approval.objects.pending().values_list("team")
    counted = rows.annotate(Count("pk"), late=Count("pk", filter=is_late))
    waiting = dict.fromkeys(Team.objects.values_list("slug", flat=True), (0, 0))
    waiting |= {team: (count, late) for team, count, late in counted}
    for place, (name, text) in enumerate(
        (
            ("interlock_approvals_pending", "Held answers that wait for a person."),
            ("interlock_approvals_overdue", "Those of them past their deadline."),
        )
    ):
        gauge = GaugeMetricFamily(name, text, labels=["team"])
        for team, counts in sorted(waiting.items()):
            gauge.add_metric([team], counts[place])
        yield gauge


def _workers() -> Metric:
    """Live ones, and those that fell silent without a word and are still listed."""
    now = timezone.now()
    is_live = Q(seen_at__gte=now - HEARTBEAT_EXPIRES)
    counts = Heartbeat.objects.filter(seen_at__gte=now - LISTED_FOR).aggregate(
        live=Count("pk", filter=is_live), silent=Count("pk", filter=~is_live)
    )
    gauge = GaugeMetricFamily(
        "interlock_workers", "Workers by what their heartbeats tell.", labels=["state"]
    )
    for state, count in counts.items():
        gauge.add_metric([state], count)
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


def _rules_of_stops() -> Metric:
    gauge = GaugeMetricFamily(
        "interlock_stop_rule_closeness",
        "How close a rule of automatic stops is to tripping: above 1 it trips. None for what is unknown.",
        labels=["rule"],
    )
    for rule, closeness in closeness_by_rule().items():
        gauge.add_metric([rule], closeness)
    return gauge
