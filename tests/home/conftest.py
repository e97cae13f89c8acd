"""Services and a Kafka that are what a test says they are."""

from collections.abc import Callable

import pytest

from agents.lags import Lags
from agents.topics import TOPICS
from controlplane.home.backlog import positions
from controlplane.home.services import watch
from controlplane.stops import waiting
from controlplane.stops.waiting import Waiting
from tests.home.making import all_up, make_positions

Down = Callable[..., None]
KafkaSays = Callable[..., None]


def nothing_waits() -> Waiting:
    declared = {name: topic.retention_ms for name, topic in TOPICS.items()}
    return Waiting(retention_ms=declared, oldest_ms={})


@pytest.fixture
def kafka_says(monkeypatch: pytest.MonkeyPatch) -> KafkaSays:
    """Every agent is done with everything, except for what the test names."""

    def fake(lags: Lags | None = None, *, recent: int = 0, error: str = "") -> None:
        said = error or make_positions(lags or {}, recent=recent)
        monkeypatch.setattr(positions, "read", lambda: said)
        monkeypatch.setattr(waiting.look, "peek", lambda: error or nothing_waits())

    fake()
    return fake


@pytest.fixture
def services_down(monkeypatch: pytest.MonkeyPatch, kafka_says: KafkaSays) -> Down:
    """All services answer, except for those that the test names."""

    def fake(*down: str) -> None:
        monkeypatch.setattr(watch, "read", lambda: all_up(*down))

    fake()
    return fake
