from collections.abc import Mapping

import pytest
from structlog.testing import capture_logs

from agents import watchdog
from agents.records import Partition
from tests.agents.stage import Stage, committed, texts
from tests.waiting import wait_for


def test_an_agent_that_knows_its_offsets_starts_there(stage: Stage) -> None:
    asked: list[Partition] = []

    def start_offsets(partitions: list[Partition]) -> Mapping[Partition, int]:
        asked.extend(partitions)
        return {partition: 3 for partition in partitions if partition[1] == 0}

    topic = stage.topic("in", partitions=1)
    agent = stage.agent(reads=(topic,), start_offsets=start_offsets)
    stage.send_all(topic, map(str, range(5)))

    stage.start(agent)

    wait_for(lambda: texts(agent.writes[0]) == ["3", "4"])
    assert asked == [(topic, 0)]
    wait_for(lambda: committed(agent) == {(topic, 0): 5})


def test_what_the_database_says_counts_more_than_what_was_committed(
    stage: Stage,
) -> None:
    starts = {"at": 0}
    topic = stage.topic("in")
    agent = stage.agent(
        reads=(topic,),
        start_offsets=lambda partitions: dict.fromkeys(partitions, starts["at"]),
    )
    stage.send_all(topic, map(str, range(3)))
    first = stage.start(agent)
    wait_for(lambda: committed(agent) == {(topic, 0): 3})
    first.drain()
    stage.forget(first)

    starts["at"] = 1
    stage.start(agent)

    wait_for(lambda: texts(agent.writes[0]) == ["0", "1", "2", "1", "2"], timeout_s=15)


def test_what_the_database_knows_is_committed_though_nothing_comes(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a crash between the two commits nothing lags, and nothing seems to stand still."""
    monkeypatch.setattr(watchdog, "LOOK_EVERY_S", 0.0)
    topic = stage.topic("in")
    agent = stage.agent(
        reads=(topic,), start_offsets=lambda partitions: dict.fromkeys(partitions, 3)
    )
    stage.send_all(topic, map(str, range(3)))

    with capture_logs() as lines:
        running = stage.start(agent)
        wait_for(lambda: committed(agent) == {(topic, 0): 3})
        looks = running.runner._watchdog._looked_at_s
        wait_for(lambda: running.runner._watchdog._looked_at_s > looks + 1)

    assert running.error is None
    assert not [line for line in lines if line["event"] == "partition_stands_still"]
    assert texts(agent.writes[0]) == []


def test_offsets_that_cannot_be_read_end_the_runner_and_nothing_is_skipped(
    stage: Stage,
) -> None:
    def start_offsets(partitions: list[Partition]) -> Mapping[Partition, int]:
        raise ConnectionError("PostgreSQL is away")

    topic = stage.topic("in")
    agent = stage.agent(reads=(topic,), start_offsets=start_offsets)
    stage.send_all(topic, ["a"])

    running = stage.start(agent)

    wait_for(lambda: isinstance(running.error, ConnectionError))
    running.drain()
    stage.forget(running)
    assert committed(agent) == {}
