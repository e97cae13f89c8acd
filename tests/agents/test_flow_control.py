import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from agents import runner as runner_module
from agents import watchdog as watchdog_module
from agents.agent import Context, Event, Send
from agents.control_state import ControlState, Stop
from tests.agents.stage import FreshControl, Stage, committed, members, repeat, texts
from tests.waiting import wait_for


@pytest.fixture(autouse=True)
def _small_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner_module, "MAX_WAITING", 50)
    monkeypatch.setattr(watchdog_module, "LOOK_EVERY_S", 0.5)


def test_no_more_is_fetched_while_enough_waits_and_the_agent_stays_a_member(
    stage: Stage,
) -> None:
    agent = stage.agent(partitions=2, batch_size=20)
    # Kafka's client gives up a member that does not poll for so long.
    runner = stage.runner(agent, client={"max.poll.interval.ms": "1500"})
    runner.paused = "held"
    running = stage.run(runner)
    stage.send_all(agent.reads[0], map(str, range(500)), keys=50)
    wait_for(lambda: runner._executor.size >= 50)

    rounds = runner._watchdog._looked_at_s
    wait_for(
        lambda: runner._watchdog._looked_at_s > rounds + 3, what="it polls for 3 s"
    )

    assert 50 <= runner._executor.size < 2 * 50 + 2 * 20
    assert (members(agent), running.partitions) == (1, 2)

    runner.paused = ""
    wait_for(lambda: sum(committed(agent).values()) == 500)
    assert sorted(texts(agent.writes[0]), key=int) == list(map(str, range(500)))


@pytest.mark.long
def test_what_a_stop_of_one_tier_holds_does_not_keep_other_tiers_waiting(
    stage: Stage,
) -> None:
    stop = Stop(id="1", mode="soft", scope="tier", value="free")
    control = FreshControl(ControlState(version=1, stops=(stop,)))
    free, pro = stage.topic("in-free"), stage.topic("in-pro")
    out = stage.topic("out-free"), stage.topic("out-pro")
    agent = stage.agent(reads=(free, pro), writes=out, batch_size=20)
    runner = stage.runner(
        agent, control=control, client={"max.poll.interval.ms": "1500"}
    )
    running = stage.run(runner)
    for number in range(300):
        stage.send(free, str(number), key=f"f{number}", tier="free")
    wait_for(lambda: runner._flow_paused == {(free, 0)})

    for number in range(100):
        stage.send(pro, str(number), key="p", tier="pro")

    wait_for(lambda: texts(out[1]) == list(map(str, range(100))))
    rounds = runner._watchdog._looked_at_s
    wait_for(
        lambda: runner._watchdog._looked_at_s > rounds + 3, what="it polls for 3 s"
    )
    assert (members(agent), running.partitions) == (1, 2)
    assert runner._executor.size < 50 + 20
    assert texts(out[0]) == []

    control.state = ControlState(version=2)
    wait_for(lambda: texts(out[0]) == list(map(str, range(300))))
    wait_for(lambda: not runner._flow_paused)


def test_partitions_that_come_while_it_is_full_do_not_leave_others_paused_for_ever(
    stage: Stage,
) -> None:
    """Between half and full it is neither time to pause nor to resume."""
    agent = stage.agent(partitions=1, batch_size=20)
    runner = stage.runner(agent)
    runner.paused = "held"
    running = stage.run(runner)
    stage.send_all(agent.reads[0], map(str, range(200)))
    wait_for(lambda: runner._executor.size >= 50 and runner._flow_paused)

    runner.assigned([("another", 0)])  # as a rebalance does
    runner._ledgers.pop(("another", 0))
    runner.paused = ""

    wait_for(lambda: sum(committed(agent).values()) == 200)
    assert running.runner.status()["done"] == 200


def test_one_slow_record_does_not_let_what_is_done_behind_it_grow_without_bound(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of it would be kept in memory, and repeated after a kill."""
    monkeypatch.setattr(runner_module, "MAX_SPAN", 60)
    may_end = asyncio.Event()

    async def handle(event: Event[Any], ctx: Context) -> AsyncIterator[Send]:
        if event.data.text == "0":
            await may_end.wait()
        for send in repeat(event, ctx):
            yield send

    agent = stage.agent(handle_async=handle, batch_size=20)
    runner = stage.run(stage.runner(agent)).runner
    stage.send_all(agent.reads[0], map(str, range(300)), keys=300)
    wait_for(lambda: runner._flow_paused and not runner._executor.size)

    rounds = runner._watchdog._looked_at_s
    wait_for(lambda: runner._watchdog._looked_at_s > rounds, what="more rounds")
    assert 60 <= runner._ledgers[agent.reads[0], 0].span < 60 + 20

    stage.on_loop(may_end.set)
    wait_for(lambda: sum(committed(agent).values()) == 300)
