import threading
from collections.abc import AsyncIterator, Hashable, Iterable
from typing import Any

import pytest

from agents.agent import Context, Event, Send
from agents.control_state import ControlState, Ramp, Stop
from agents.ramp import Slots
from agents.records import Record
from agents.runner import RAMPED
from tests.agents.stage import FreshControl, Stage, committed, repeat, texts
from tests.waiting import wait_for

EVERYTHING = ControlState(
    version=2, stops=(Stop(id="1", mode="soft", scope="everything"),)
)
RUNNING = ControlState(version=3)


class Counting:
    """A sync handler that another thread can hold in the middle of a record."""

    def __init__(self) -> None:
        self.started: list[str] = []
        self.may_end = threading.Event()

    def __call__(self, event: Event[Any], ctx: Context) -> list[Send]:
        self.started.append(event.data.text)
        assert self.may_end.wait(10)
        return list(repeat(event, ctx))


def test_a_soft_stop_holds_before_the_next_start_and_goes_on_where_it_left(
    stage: Stage,
) -> None:
    handler, control = Counting(), FreshControl(RUNNING)
    agent = stage.agent(handle=handler)
    running = stage.start(agent, control=control)
    stage.send_all(agent.reads[0], map(str, range(50)))
    wait_for(lambda: handler.started)

    control.state = EVERYTHING
    handler.may_end.set()

    wait_for(lambda: running.runner.status()["state"] == "held")
    wait_for(lambda: sum(committed(agent).values()) == 1)
    status = running.runner.status()
    assert status["why"] == "soft stop (everything)"
    assert (handler.started, texts(agent.writes[0])) == (["0"], ["0"])

    control.state = RUNNING
    wait_for(lambda: sum(committed(agent).values()) == 50)
    assert handler.started == texts(agent.writes[0]) == list(map(str, range(50)))
    assert running.runner.status()["state"] == "running"


def test_what_a_stop_holds_is_neither_lost_nor_doubled_by_a_restart(
    stage: Stage,
) -> None:
    control = FreshControl(EVERYTHING)
    agent = stage.agent()
    held = stage.start(agent, control=control)
    stage.send_all(agent.reads[0], map(str, range(20)))
    wait_for(lambda: held.runner.status()["in_flight"] == 20)

    held.drain()
    stage.forget(held)
    assert committed(agent) == {}

    stage.start(agent, control=FreshControl(RUNNING))
    wait_for(lambda: sum(committed(agent).values()) == 20)
    assert texts(agent.writes[0]) == list(map(str, range(20)))


@pytest.mark.parametrize("scope", ["agent", "workflow", "tier"])
def test_a_stop_of_something_else_holds_nothing(stage: Stage, scope: Any) -> None:
    stop = Stop(id="1", mode="soft", scope=scope, value="something else")
    agent = stage.agent()
    stage.start(agent, control=FreshControl(ControlState(version=1, stops=(stop,))))

    stage.send_all(agent.reads[0], ["a"])

    wait_for(lambda: texts(agent.writes[0]) == ["a"])


def test_a_stop_of_a_tier_holds_its_records_alone(stage: Stage) -> None:
    stop = Stop(id="1", mode="soft", scope="tier", value="pro")
    control = FreshControl(ControlState(version=1, stops=(stop,)))
    agent = stage.agent()
    running = stage.start(agent, control=control)

    stage.send(agent.reads[0], "pro", key="p", tier="pro")
    stage.send(agent.reads[0], "free", key="f", tier="free")
    stage.producer.flush(5)

    wait_for(lambda: texts(agent.writes[0]) == ["free"])
    assert running.runner.status()["why"] == "soft stop (tier pro)"
    assert committed(agent) == {}

    control.state = RUNNING
    wait_for(lambda: sum(committed(agent).values()) == 2)
    assert texts(agent.writes[0]) == ["free", "pro"]


def test_who_waits_for_records_obeys_at_once_and_who_handles_one_does_not(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    control, told = FreshControl(RUNNING), list[int]()

    def handle(event: Event[Any], ctx: Context) -> list[Send]:
        control.state = ControlState(version=4)
        told.append(running.runner.obeys.version)
        return []

    agent = stage.agent(handle=handle)
    running = stage.start(agent, control=control)
    stage.send_all(agent.reads[0], ["a"])
    wait_for(lambda: told)
    wait_for(lambda: running.runner.obeys.version == 4)
    running.halt()

    def fetch(*_: object) -> list[Record]:
        control.state = EVERYTHING
        told.append(running.runner.obeys.version)
        return []

    monkeypatch.setattr(running.runner._consumer, "fetch", fetch)
    running.runner.step()
    assert told == [3, 2]


class Counted(Slots):
    """Has so many and gets no more."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.left = count

    def take(self, ramps: Iterable[Ramp], agent: str, record: Hashable) -> bool:
        if not self.left:
            return False
        self.left -= 1
        return True


async def repeat_async(event: Event[Any], ctx: Context) -> AsyncIterator[Send]:
    for send in repeat(event, ctx):
        yield send


@pytest.mark.parametrize("handler", [repeat, repeat_async])
def test_each_start_of_a_ramped_release_takes_one_slot(
    stage: Stage, handler: Any
) -> None:
    ramp = Ramp(id="1", scope="everything", per_s=1)
    control = FreshControl(ControlState(version=2, ramps=(ramp,)))
    control.slots = Counted(7)
    kind = "handle" if handler is repeat else "handle_async"
    agent = stage.agent(**{kind: handler})
    running = stage.start(agent, control=control)
    stage.send_all(agent.reads[0], map(str, range(20)))

    wait_for(lambda: running.runner.status()["why"] == RAMPED)
    wait_for(lambda: sum(committed(agent).values()) == 7)
    assert texts(agent.writes[0]) == list(map(str, range(7)))

    control.state = RUNNING
    wait_for(lambda: sum(committed(agent).values()) == 20)
    assert texts(agent.writes[0]) == list(map(str, range(20)))


def test_no_soft_stop_holds_a_sink(stage: Stage) -> None:
    taken: list[str] = []

    async def take(events: Any) -> None:
        taken.extend(event.data.text for event in events)

    agent = stage.agent(handle_batch=take, kind="sink")
    stage.start(agent, control=FreshControl(EVERYTHING))

    stage.send_all(agent.reads[0], ["a"])

    wait_for(lambda: taken == ["a"])


def test_a_paused_agent_holds_and_says_why(stage: Stage) -> None:
    agent = stage.agent()
    runner = stage.runner(agent)
    runner.paused = "paused by remote control"
    running = stage.run(runner)
    stage.send_all(agent.reads[0], ["a"])

    wait_for(lambda: running.runner.status()["in_flight"] == 1)
    status = running.runner.status()
    assert (status["state"], status["why"]) == ("held", "paused by remote control")
    assert texts(agent.writes[0]) == []

    runner.paused = ""
    wait_for(lambda: texts(agent.writes[0]) == ["a"])
