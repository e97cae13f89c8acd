import pytest

from agents import runner as runner_module
from tests.agents.stage import Stage, committed, members, texts
from tests.waiting import wait_for


@pytest.fixture(autouse=True)
def _small_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner_module, "MAX_WAITING", 50)


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

    rounds = runner._measured_at_s
    wait_for(lambda: runner._measured_at_s > rounds + 3, what="it polls for 3 s")

    assert 50 <= runner._executor.size < 50 + 2 * 20
    assert (members(agent), running.partitions) == (1, 2)

    runner.paused = ""
    wait_for(lambda: sum(committed(agent).values()) == 500)
    assert sorted(texts(agent.writes[0]), key=int) == list(map(str, range(500)))


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
