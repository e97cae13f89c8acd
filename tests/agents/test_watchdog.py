"""A partition that Kafka's client forgets: seen, mended, and told from one that has nothing to give."""

from typing import Any

import pytest
from structlog.testing import capture_logs

from agents import watchdog as watchdog_module
from agents.broker import BrokerError
from agents.records import Partition
from agents.watchdog import StuckError, Watchdog
from tests.agents.stage import Stage, committed, texts
from tests.waiting import wait_for

HERE: Partition = ("in", 0)
THERE: Partition = ("in", 1)


class Kafka:
    """Where two partitions end, and what was asked."""

    def __init__(self, **ends: int) -> None:
        self.of = {HERE: ends.get("here", 0), THERE: ends.get("there", 0)}
        self.committed: dict[Partition, int] = {}
        self.has_records = True
        self.nudged: list[Partition] = []
        self.away = False
        self.unknown: set[Partition] = set()
        self.others_are_answered = False

    def ends(
        self, partitions: list[Partition], timeout_s: float
    ) -> dict[Partition, int]:
        if self.away:
            raise BrokerError("no answer", retriable=True)
        known = self.of.keys() - self.unknown
        return {
            partition: self.of[partition]
            for partition in partitions
            if partition in known
        }

    def starts(
        self, partitions: list[Partition], timeout_s: float
    ) -> dict[Partition, int]:
        return {partition: self.committed.get(partition, 0) for partition in partitions}

    def has_record(self, partition: Partition, offset: int, timeout_s: float) -> bool:
        return self.has_records

    def others_see(self, partitions: list[Partition], timeout_s: float) -> bool:
        return self.others_are_answered

    def nudge(self, partitions: list[Partition]) -> None:
        self.nudged += partitions


@pytest.fixture(autouse=True)
def _always_due(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchdog_module, "LOOK_EVERY_S", 0.0)


def look(dog: Watchdog, **idle: int | None) -> None:
    named = {"here": HERE, "there": THERE}
    dog.look(lambda: {named[name]: offset for name, offset in idle.items()})


def test_a_partition_that_stands_still_with_records_to_give_is_nudged() -> None:
    kafka = Kafka(here=9, there=4)
    dog = Watchdog("guard", kafka)

    look(dog, here=5, there=4)
    assert kafka.nudged == []  # it may be on its way

    look(dog, here=5, there=4)
    assert kafka.nudged == [HERE]


@pytest.mark.parametrize("first", [5, 6])
def test_a_partition_that_moves_or_has_nothing_is_left_alone(first: int) -> None:
    kafka = Kafka(here=7)
    dog = Watchdog("guard", kafka)

    look(dog, here=first)
    look(dog, here=first + 1)
    look(dog, here=7)
    look(dog, here=7)

    assert kafka.nudged == []


def test_one_from_which_nothing_was_ever_read_is_compared_with_its_commit() -> None:
    kafka = Kafka(here=9, there=9)
    kafka.committed = {HERE: 9}
    dog = Watchdog("guard", kafka)

    for _ in range(2):
        look(dog, here=None, there=None)

    assert kafka.nudged == [THERE]


def test_markers_at_the_end_are_no_records() -> None:
    kafka = Kafka(here=9)
    kafka.has_records = False
    dog = Watchdog("guard", kafka)

    for _ in range(4):
        look(dog, here=8)
    assert kafka.nudged == [HERE]

    kafka.has_records, kafka.of[HERE] = True, 10  # something came behind them
    look(dog, here=8)
    assert kafka.nudged == [HERE, HERE]
    with pytest.raises(StuckError):
        look(dog, here=8)


def test_what_a_nudge_does_not_help_needs_a_new_consumer() -> None:
    dog = Watchdog("guard", Kafka(here=9))
    look(dog, here=5)
    look(dog, here=5)

    with pytest.raises(StuckError, match="in/0@5"):
        look(dog, here=5)


def test_a_look_that_takes_long_leaves_what_it_nudged_its_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(watchdog_module, "LOOK_EVERY_S", 5.0)
    kafka = Kafka(here=9)
    now_s = 0.0
    dog = Watchdog("guard", kafka, clock=lambda: now_s)

    def nudge(partitions: list[Partition]) -> None:
        nonlocal now_s
        kafka.nudged += partitions
        now_s += 6  # other partitions are asked about, and Kafka is slow

    monkeypatch.setattr(kafka, "nudge", nudge)
    now_s = 5
    look(dog, here=5)
    now_s = 10
    look(dog, here=5)
    assert kafka.nudged == [HERE]

    now_s += 4
    look(dog, here=5)  # too early to call it stuck
    now_s += 1
    with pytest.raises(StuckError):
        look(dog, here=5)


def test_while_kafka_is_away_nothing_is_concluded() -> None:
    kafka = Kafka(here=9)
    dog = Watchdog("guard", kafka)
    look(dog, here=5)
    kafka.away = True
    look(dog, here=5)
    assert kafka.nudged == []

    kafka.away = False
    look(dog, here=5)
    assert kafka.nudged == [HERE]


def test_a_client_that_alone_gets_no_answer_is_made_anew() -> None:
    kafka = Kafka(here=9)
    dog = Watchdog("guard", kafka)
    kafka.away = True
    for _ in range(watchdog_module.BLIND_LOOKS + 1):
        look(dog, here=5)  # as long as nobody is answered, it waits

    kafka.others_are_answered = True
    with pytest.raises(StuckError, match="answers others: no answer"):
        look(dog, here=5)


def test_a_partition_whose_end_alone_is_not_told_is_doubted_too() -> None:
    kafka = Kafka(here=9, there=9)
    kafka.unknown = {THERE}
    kafka.others_are_answered = True
    dog = Watchdog("guard", kafka)

    for _ in range(watchdog_module.BLIND_LOOKS - 1):
        look(dog, here=9, there=9)

    with pytest.raises(StuckError, match="no end of"):
        look(dog, here=9, there=9)


def test_an_answer_lets_the_looks_that_saw_nothing_count_no_more() -> None:
    kafka = Kafka(here=5)
    kafka.others_are_answered = True
    dog = Watchdog("guard", kafka)

    for _ in range(3):
        for away in (True, True, False):
            kafka.away = away
            look(dog, here=5)


@pytest.mark.long
def test_a_partition_that_was_paused_behind_its_back_goes_on(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A fetch that waits at Kafka for 0.5 s comes first; on a busy machine 1 s was too little.
    monkeypatch.setattr(watchdog_module, "LOOK_EVERY_S", 2.5)
    agent = stage.agent(partitions=2)
    runner = stage.runner(agent)
    with capture_logs() as lines:
        running = stage.run(runner)
        stage.send_all(agent.reads[0], map(str, range(20)), keys=10)
        wait_for(lambda: sum(committed(agent).values()) == 20)
        running.halt()  # a consumer is for one thread at a time

        runner._consumer.pause([(agent.reads[0], 0), (agent.reads[0], 1)])
        stage.run(runner)
        stage.send_all(agent.reads[0], map(str, range(20, 40)), keys=10)
        wait_for(lambda: sum(committed(agent).values()) == 40, timeout_s=30)

    assert sorted(texts(agent.writes[0]), key=int) == list(map(str, range(40)))
    stood: list[Any] = [
        line for line in lines if line["event"] == "partition_stands_still"
    ]
    assert {line["agent"] for line in stood} == {agent.name}


def test_a_runner_whose_partition_stays_stuck_ends_so_that_another_is_made(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = stage.agent(partitions=1)
    runner = stage.runner(agent)
    monkeypatch.setattr(watchdog_module, "LOOK_EVERY_S", 0.5)
    monkeypatch.setattr(runner._consumer, "nudge", lambda partitions: None)
    stage.send_all(agent.reads[0], ["1"], keys=1)
    wait_for(lambda: (runner.step(), committed(agent))[1])
    runner._consumer.pause([(agent.reads[0], 0)])
    stage.send_all(agent.reads[0], ["2"], keys=1)

    def step_for_ever() -> None:
        while True:
            runner.step()

    with pytest.raises(StuckError):
        step_for_ever()
