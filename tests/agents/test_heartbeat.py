import json
import os
import time
from typing import Any

import psycopg
import pytest

from agents.control_state import ControlState, Published
from agents.heartbeat import Heartbeat
from agents.host import conninfo
from agents.metrics import DELIVERIES, samples
from controlplane.runtime import models
from tests.agents.stage import FreshControl
from tests.home.making import make_heartbeat

STATUS: list[dict[str, Any]] = [
    {
        "agent": "guard",
        "state": "held",
        "why": "soft stop",
        "partitions": 2,
        "done": 40,
    }
]


@pytest.fixture
def heartbeat(transactional_db: None) -> Heartbeat:
    return Heartbeat(lambda: STATUS)


def beat(heartbeat: Heartbeat, *, at_once: bool = False) -> None:
    with psycopg.connect(conninfo(), autocommit=True) as connection:
        heartbeat.beat(connection, FreshControl().state, at_once=at_once)


def test_a_beat_says_what_the_worker_does(heartbeat: Heartbeat) -> None:
    beat(heartbeat)

    row = models.Heartbeat.objects.live().get()
    assert (row.instance, row.pid) == (heartbeat.instance, os.getpid())
    assert (row.applied_version, row.applied_in_ms, row.ruleset_hash) == (1, 0.0, "")
    [status] = row.agents
    pace = status.pop("pace")
    assert [status] == STATUS
    assert (pace["per_second"], pace["recent"][-1]) == (None, 40)
    assert {family["name"] for family in row.metrics} >= {
        "interlock_records",
        "interlock_handle_seconds",
        "llm_requests",
    }
    assert str(row) == row.instance


def test_it_says_how_long_the_rules_of_a_publication_took(
    heartbeat: Heartbeat,
) -> None:
    def told(number: int, ruled: str, published: str) -> tuple[str, int, float | None]:
        state = ControlState(
            version=number,
            ruleset_hash=ruled,
            published=Published(
                id=number,
                ruleset_hash=published,
                at_ms=time.time() * 1000 - 300,
            ),
        )
        with psycopg.connect(conninfo(), autocommit=True) as connection:
            heartbeat.beat(connection, state, at_once=True)
        row = models.Heartbeat.objects.get()
        return row.ruleset_hash, row.publication, row.ruled_in_ms

    assert told(1, "a", "a") == ("a", 1, None)  # it was not there at the publication
    assert told(2, "a", "b") == ("a", 1, None)
    ruleset, publication, took_ms = told(2, "b", "b")
    assert (ruleset, publication) == ("b", 2)
    assert took_ms is not None
    assert 300 <= took_ms < 3_000
    assert told(2, "b", "b")[2] == took_ms
    again = told(3, "b", "b")  # the same rules once more
    assert again[1] == 3


def test_it_beats_at_once_on_a_change_and_else_every_two_seconds(
    heartbeat: Heartbeat, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])

    def seen() -> Any:
        return models.Heartbeat.objects.get().seen_at

    beat(heartbeat)
    first = seen()
    clock[0] += 1.0
    beat(heartbeat)
    assert seen() == first

    beat(heartbeat, at_once=True)
    second = seen()
    assert second > first

    monkeypatch.setitem(STATUS[0], "partitions", 6)  # others have left the group
    beat(heartbeat)
    third = seen()
    assert third > second
    beat(heartbeat)
    assert seen() == third

    clock[0] += 2.0
    beat(heartbeat)
    assert seen() > third
    assert models.Heartbeat.objects.count() == 1


def test_it_says_how_late_the_last_agent_obeyed_a_change(heartbeat: Heartbeat) -> None:
    def told(version: int, ago_ms: float) -> float:
        changed_at_ms = time.time() * 1000 - ago_ms
        state = ControlState(version=version, changed_at_ms=changed_at_ms)
        with psycopg.connect(conninfo(), autocommit=True) as connection:
            heartbeat.beat(connection, state, at_once=True)
        return float(models.Heartbeat.objects.get().applied_in_ms)

    assert told(7, ago_ms=9_000) == 0  # who starts has not been late
    assert 40 <= told(8, ago_ms=40) < 5_000
    assert 40 <= told(8, ago_ms=9_000) < 5_000  # that of the change, not of the beat


def test_a_worker_that_ends_by_itself_is_gone(heartbeat: Heartbeat) -> None:
    beat(heartbeat)

    with psycopg.connect(conninfo(), autocommit=True) as connection:
        heartbeat.remove(connection)

    assert not models.Heartbeat.objects.exists()


def test_the_first_beat_forgets_who_crashed_more_than_a_day_ago(
    heartbeat: Heartbeat,
) -> None:
    for name, hours in (("long ago", 25), ("lately", 23)):
        make_heartbeat(instance=name, age_s=hours * 3600)

    beat(heartbeat)

    left = set(models.Heartbeat.objects.values_list("instance", flat=True))
    assert left == {"lately", heartbeat.instance}


def test_two_workers_of_one_process_are_two_instances() -> None:
    assert Heartbeat(list).instance != Heartbeat(list).instance


def test_figures_travel_as_plain_data() -> None:
    DELIVERIES.labels("test", "true").inc()

    [family] = [
        family for family in samples() if family["name"] == "interlock_deliveries"
    ]

    assert family["type"] == "counter"
    assert [
        "interlock_deliveries_total",
        {"workflow": "test", "approved": "true"},
        1.0,
    ] in family["samples"]
    assert not [name for name, _, _ in family["samples"] if name.endswith("_created")]
    assert json.loads(json.dumps(list(samples())))
    DELIVERIES.remove("test", "true")
