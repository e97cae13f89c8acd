"""A soft stop under load and disturbances: nobody starts anything, and the release keeps to its ramp.

What the stop's judge would find wrong is tried too: a judge that finds nothing proves nothing.
"""

import sys
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import ROOT
from tests.soak.counting_worker import DISOBEYS
from tests.soak.faults import Fault, Planned, kinds
from tests.soak.soak import Options, Soak
from tests.soak.soft_stop import RAMP_PER_S, DisobeyedError, Start, Stop, above, judge
from tests.soak.stage import Stage, on_stage

STOP = Stop("1", proven_s=100.0, releasing_s=160.0, released_s=200.0)


def start(at_s: float, agent: str = "responder") -> Start:
    return Start(at_s, at_s, agent, "t/0@1", 1)


def evenly(count: int, per_s: float, from_s: float = 160.0) -> list[Start]:
    return [start(from_s + 0.001 + number / per_s) for number in range(count)]


# The judge


def test_what_starts_before_and_after_a_stop_is_as_it_should_be() -> None:
    judge(STOP, [start(99.9), *evenly(600, RAMP_PER_S), *evenly(9, 1_000, 201)])


def test_one_start_under_the_stop_is_found() -> None:
    with pytest.raises(DisobeyedError, match="1 starts under the stop"):
        judge(STOP, [start(99.9), start(100.1), start(170)])


def test_an_early_slot_does_not_excuse_a_start_under_the_stop() -> None:
    with pytest.raises(DisobeyedError, match="1 starts under the stop"):
        judge(STOP, [Start(100.1, 99.9, "responder", "t/0@1", 1)])


def test_who_waits_for_the_processor_after_its_slot_keeps_to_the_ramp() -> None:
    at_once = [
        Start(161.0, each.slot_at_s, each.agent, each.record, each.pid)
        for each in evenly(60, RAMP_PER_S)
    ]
    judge(STOP, at_once)


def test_a_flood_within_the_ramp_is_found() -> None:
    with pytest.raises(DisobeyedError, match="above the ramp"):
        judge(STOP, evenly(600, RAMP_PER_S * 1.2))


def test_agents_have_a_ramp_each() -> None:
    twins = [start(each.at_s, "input-guard") for each in evenly(600, RAMP_PER_S)]
    judge(STOP, evenly(600, RAMP_PER_S) + twins)


@given(st.lists(st.floats(0, 3), max_size=40))
def test_above_is_what_every_window_says(times: list[float]) -> None:
    per_s, starts = 5.0, [start(at_s) for at_s in sorted(times)]
    windows = (
        later
        for number, later in enumerate(starts)
        if any(
            number - first + 1 > per_s * (later.at_s - starts[first].at_s + 0.25) + 2
            for first in range(number + 1)
        )
    )

    assert above(starts, per_s) == list(windows)


# The product


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with on_stage(ROOT / ".run" / "test-soft-stop") as stage:
        yield stage


def say(line: str) -> None:
    sys.stdout.write(line + "\n")


def fault(name: str) -> Fault:
    [found] = [each for each in kinds(1) if each.name == name]
    return found


def run(stage: Stage, planned: list[Planned], seed: str, **changed: Any) -> list[Any]:
    defaults = {"seconds": 40.0, "users": 40, "tail_s": 120.0, "fault_every_s": 0.0}
    soak = Soak(stage, Options(seed=seed, **(defaults | changed)), say)
    soak.plan(planned)
    return soak.run()


DISTURBANCES = (
    "one more worker",
    "SIGKILL worker-0",
    "SIGKILL postgres",
    "SIGTERM worker-1",
    "SIGKILL kafka",
    "SIGSTOP worker-0",
    "SIGKILL worker-1",
    "SIGKILL valkey",
)


@pytest.mark.long
@pytest.mark.timeout(600)
def test_a_stop_of_a_minute_at_20_turns_a_second(stage: Stage) -> None:
    planned = [Planned(5.0, fault("soft stop"), 60.0)]

    assert run(stage, planned, "minute", seconds=100.0) == []


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("part", range(8))
def test_nothing_starts_under_a_stop_whatever_is_disturbed(
    stage: Stage, part: int
) -> None:
    """25 disturbances each."""
    every_s, count = 8.0, 25
    planned = [Planned(5.0, fault("soft stop"), (count + 4) * every_s)]
    planned += [
        Planned(
            10 + number * every_s,
            fault(DISTURBANCES[(part + number) % len(DISTURBANCES)]),
            1.0,
        )
        for number in range(count)
    ]

    seconds = 5 + (count + 8) * every_s
    assert run(stage, planned, f"part {part}", seconds=seconds) == []


@pytest.mark.long
@pytest.mark.timeout(240)
def test_a_worker_that_disobeys_is_found_out(stage: Stage) -> None:
    stage.product.env[DISOBEYS] = "true"
    stage.launch("worker-9")
    stage.await_ready("worker-9")
    stage.product.env.pop(DISOBEYS)
    planned = [Planned(3.0, fault("soft stop"), 5.0)]

    differences = run(stage, planned, "disobeys", seconds=15.0)

    stage.processes.pop("worker-9").end()
    assert any("starts under the stop" in each.what for each in differences)
