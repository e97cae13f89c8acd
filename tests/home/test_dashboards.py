"""The files under ops/: what they ask Prometheus for is really exported."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from agents.metrics import samples
from controlplane.home.alerts import ALERTS
from controlplane.home.metrics import exposition
from tests.e2e.product import ROOT
from tests.home.conftest import Down, KafkaSays
from tests.home.making import make_heartbeat

OPS = ROOT / "ops"
PROMETHEUS_S_OWN = {"up"}
WORDS = {"and", "or", "unless", "bool", "offset", "by", "without", "on", "ignoring"}
ENDINGS = {
    "counter": ("_total",),
    "histogram": ("_bucket", "_count", "_sum"),
    "gauge": ("",),
}


def metric_names(expression: str) -> set[str]:
    """Return the metrics of a PromQL expression: names that are no function, label or word."""
    bare = re.sub(r"\"[^\"]*\"|'[^']*'", "", expression)
    bare = re.sub(r"\{[^}]*\}|\[[^\]]*\]", "", bare)
    grouping = r"\b(by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)"
    bare = re.sub(grouping, " ", bare)
    names = re.findall(r"(?<![\w:.])[a-zA-Z_:][\w:]*(?!\s*\(|[\w:])", bare)
    return set(names) - WORDS


def rules() -> list[dict[str, Any]]:
    document = yaml.safe_load((OPS / "prometheus-alerts.yml").read_text())
    return [rule for group in document["groups"] for rule in group["rules"]]


def expressions() -> Iterator[tuple[str, str]]:
    for rule in rules():
        yield rule["alert"], rule["expr"]
    dashboard = json.loads((OPS / "grafana-dashboard.json").read_text())
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            yield panel["title"], target["expr"]


@pytest.fixture
def exported(db: None, services_down: Down, kafka_says: KafkaSays) -> set[str]:
    """What a scrape of the site has while a worker of this version is live."""
    make_heartbeat(metrics=list(samples()))
    kinds = re.findall(r"^# TYPE (\S+) (\S+)$", exposition().decode(), re.MULTILINE)
    return {
        f"{name.removesuffix('_total')}{ending}"
        for name, kind in kinds
        for ending in ENDINGS[kind]
    }


def unknown(exported: set[str], asked: str) -> set[str]:
    return metric_names(asked) - exported - PROMETHEUS_S_OWN


def test_every_metric_that_is_asked_for_is_exported(exported: set[str]) -> None:
    missing = {
        name: found
        for name, asked in expressions()
        if (found := unknown(exported, asked))
    }

    assert missing == {}
    assert all(metric_names(asked) for _, asked in expressions())


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("max(interlock_worker) > 0", {"interlock_worker"}),
        ("rate(interlock_records[5m])", {"interlock_records"}),
        ('up{job="x"} == 0 and sum by (agent) (lag_of)', {"lag_of"}),
        (
            "histogram_quantile(0.95, sum by (le) (rate(llm_seconds_bucket[5m])))",
            {"llm_seconds_bucket"},
        ),
        ("absent(kafka_consumer_lag) or on () gone offset 5m", {"gone"}),
    ],
)
def test_a_metric_that_nobody_exports_is_found(
    exported: set[str], asked: str, found: set[str]
) -> None:
    assert unknown(exported, asked) == found


def test_each_alert_of_the_control_room_has_a_rule_that_takes_its_word() -> None:
    asked = " ".join(rule["expr"] for rule in rules())

    for name in ALERTS:
        assert f'interlock_alert_active{{alert="{name}"}}) == 1' in asked


def test_each_rule_leads_to_a_section_of_the_runbook() -> None:
    text = (ROOT / "docs" / "runbook.md").read_text()
    titles = re.findall(r"^## (.+)$", text, re.MULTILINE)
    anchors = {
        re.sub(r"[^\w -]", "", each).lower().replace(" ", "-") for each in titles
    }

    for rule in rules():
        file, _, anchor = rule["annotations"]["runbook"].partition("#")
        assert (file, anchor in anchors) == ("docs/runbook.md", True), rule["alert"]
