import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from agents import runner as runner_module
from agents import runtime as runtime_module
from agents.agent import Context, Event, Send, UnavailableError
from controlplane.embedded.services import Services
from tests.agents.stage import Stage, committed, members, repeat, texts
from tests.waiting import wait_for


def test_a_drain_ends_what_runs_starts_no_more_and_commits_the_prefix(
    stage: Stage,
) -> None:
    begun: list[str] = []

    async def handle(event: Event[Any], ctx: Context) -> AsyncIterator[Send]:
        begun.append(event.data.text)
        await asyncio.sleep(0.3)
        for send in repeat(event, ctx):
            yield send

    agent = stage.agent(handle_async=handle, concurrency=4)
    running = stage.start(agent)
    stage.send_all(agent.reads[0], map(str, range(20)), keys=20)
    wait_for(lambda: len(begun) >= 4)
    began_s = time.monotonic()

    running.drain()
    stage.forget(running)

    done = texts(agent.writes[0])
    assert 4 <= len(done) < 20
    assert sum(committed(agent).values()) == len(done)
    assert time.monotonic() - began_s < 10
    assert members(agent) == 0


def test_a_drain_ends_within_ten_seconds_though_a_handler_does_not(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert runner_module.DRAIN_S + runner_module.COMMIT_S < runtime_module.SEATS_S

    async def handle(event: Event[Any], ctx: Context) -> AsyncIterator[Send]:
        if event.data.text == "1":
            await asyncio.sleep(3600)
        for send in repeat(event, ctx):
            yield send

    agent = stage.agent(handle_async=handle)
    running = stage.start(agent)
    stage.send_all(agent.reads[0], map(str, range(3)), keys=3)
    wait_for(lambda: len(texts(agent.writes[0])) == 2)
    monkeypatch.setattr(runner_module, "DRAIN_S", 0.5)
    began_s = time.monotonic()

    running.drain()
    stage.forget(running)

    assert time.monotonic() - began_s < 1.5  # it is not waited for a second time
    assert sum(committed(agent).values()) == 1
    assert members(agent) == 0


def test_a_drain_does_not_wait_for_what_is_away(stage: Stage) -> None:
    async def handle(event: Event[Any], ctx: Context) -> AsyncIterator[Send]:
        if event.data.text:
            raise UnavailableError("PostgreSQL: gone")
        yield Send("out", event.data)

    agent = stage.agent(handle_async=handle)
    running = stage.start(agent)
    stage.send_all(agent.reads[0], ["a"])
    wait_for(lambda: running.runner.status()["why"] == "PostgreSQL: gone")
    began_s = time.monotonic()

    running.drain()
    stage.forget(running)

    assert time.monotonic() - began_s < 4
    assert committed(agent) == {}


def test_an_agent_that_had_nothing_to_do_drains_at_once(stage: Stage) -> None:
    agent = stage.agent()
    running = stage.start(agent)
    wait_for(lambda: running.partitions)
    began_s = time.monotonic()

    running.drain()
    stage.forget(running)

    assert time.monotonic() - began_s < 3
    assert members(agent) == 0


def test_a_drain_does_not_wait_long_for_a_commit_that_kafka_does_not_answer(
    stage: Stage, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert services.kafka is not None
    agent = stage.agent()
    running = stage.start(agent)
    wait_for(lambda: running.partitions)
    monkeypatch.setattr(runner_module, "COMMIT_EVERY_S", 3600)  # the drain has to
    stage.send_all(agent.reads[0], ["a"])
    wait_for(lambda: texts(agent.writes[0]) == ["a"])
    running.halt()
    services.kafka.nodes[0].freeze()
    began_s = time.monotonic()

    try:
        running.drain()
    finally:
        services.kafka.nodes[0].thaw()

    stage.forget(running)
    assert time.monotonic() - began_s < 8
