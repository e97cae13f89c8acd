import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from agents import runner as runner_module
from agents.agent import Context, Event, Send
from tests.agents.stage import Stage, committed, repeat, texts
from tests.waiting import wait_for


async def slow(event: Event[Any], ctx: Context) -> AsyncIterator[Send]:
    await asyncio.sleep(0.002)
    for send in repeat(event, ctx):
        yield send


def test_nothing_is_lost_while_a_second_runner_joins_and_leaves_under_load(
    stage: Stage,
) -> None:
    agent = stage.agent(partitions=4, batch_size=50, handle_async=slow)
    first = stage.start(agent)
    wait_for(lambda: first.partitions == 4)
    sent = 0

    def send_until(fact: Callable[[], bool]) -> bool:
        nonlocal sent
        stage.send_all(agent.reads[0], map(str, range(sent, sent + 50)), keys=40)
        sent += 50
        return fact()

    second = stage.start(agent)
    wait_for(
        lambda: send_until(lambda: (first.partitions, second.partitions) == (2, 2)),
        timeout_s=20,
        what="both have two partitions",
    )
    second.drain()
    stage.forget(second)
    wait_for(
        lambda: send_until(lambda: first.partitions == 4),
        timeout_s=20,
        what="the first has all partitions again",
    )

    wait_for(lambda: sum(committed(agent).values()) == sent, timeout_s=20)
    counts = Counter(texts(agent.writes[0]))
    assert counts.keys() == set(map(str, range(sent)))
    assert sum(counts.values()) < sent * 1.5  # what repeats is what was on its way
    assert first.error is None


def test_a_revoke_waits_for_what_runs_and_commits_it(stage: Stage) -> None:
    may_end = asyncio.Event()

    async def handle(event: Event[Any], ctx: Context) -> AsyncIterator[Send]:
        await may_end.wait()
        for send in repeat(event, ctx):
            yield send

    agent = stage.agent(handle_async=handle, concurrency=2)
    running = stage.start(agent)
    stage.send_all(agent.reads[0], ["a", "b", "c"], keys=3)
    wait_for(lambda: _running(running.runner) == 2)
    running.halt()

    partition = (agent.reads[0], 0)
    ledger = running.runner._ledgers[partition]
    with ThreadPoolExecutor(1) as other:
        revoking = other.submit(running.runner.revoked, [partition])
        wait_for(lambda: ledger.revoked, what="nothing more starts")
        stage.on_loop(may_end.set)
        revoking.result()

    assert sum(committed(agent).values()) == 2  # the third only waited
    assert running.partitions == 0


def test_a_revoke_does_not_wait_for_ever(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner_module, "REVOKE_WAIT_S", 0.2)

    async def handle(event: Event[Any], ctx: Context) -> AsyncIterator[Send]:
        await asyncio.sleep(3600)
        yield Send("out", event.data)

    agent = stage.agent(handle_async=handle)
    running = stage.start(agent)
    stage.send_all(agent.reads[0], ["a"])
    wait_for(lambda: _running(running.runner) == 1)
    running.halt()

    began_s = time.monotonic()
    running.runner.revoked([(agent.reads[0], 0), ("never had", 0)])

    assert 0.2 <= time.monotonic() - began_s < 1.5
    assert committed(agent) == {}


def _running(runner: runner_module.Runner) -> int:
    return sum(ledger.running for ledger in runner._ledgers.values())


def test_a_partition_that_is_lost_is_let_go_of_like_a_revoked_one(stage: Stage) -> None:
    agent = stage.agent()
    running = stage.start(agent)
    wait_for(lambda: running.partitions == 1)
    running.halt()

    consumer = running.runner._consumer
    consumer._lose(consumer._consumer, consumer._consumer.assignment())

    assert running.partitions == 0
    assert consumer._gone == {(agent.reads[0], 0)}
