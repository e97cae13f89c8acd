"""A stage on the real Kafka, and control state in the real PostgreSQL."""

from collections.abc import Iterator

import pytest

from agents.topics import TOPICS
from controlplane.embedded.services import Services
from tests.agents.stage import Stage, on_loop
from tests.loop_thread import LoopThread


@pytest.fixture
def loop_thread() -> Iterator[LoopThread]:
    with on_loop() as thread:
        yield thread


@pytest.fixture
def stage(
    services: Services, loop_thread: LoopThread, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Stage]:
    made = Stage(
        lambda name, topic: monkeypatch.setitem(TOPICS, name, topic), loop_thread
    )
    yield made
    made.close()
