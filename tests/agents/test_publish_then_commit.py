import asyncio
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest
from confluent_kafka import Producer as KafkaProducer
from structlog.testing import capture_logs

from agents import runner as runner_module
from agents.agent import Context, Event, Send
from agents.broker import BrokerError
from controlplane.embedded.services import Services
from tests.agents.stage import Note, Stage, committed, ids, repeat, texts
from tests.waiting import wait_for


def test_what_is_read_is_handled_published_and_committed(stage: Stage) -> None:
    agent = stage.agent(partitions=3)
    running = stage.start(agent)

    stage.send_all(agent.reads[0], map(str, range(100)), keys=10)

    wait_for(lambda: sum(committed(agent).values()) == 100, what="all is committed")
    assert sorted(texts(agent.writes[0]), key=int) == list(map(str, range(100)))
    status = running.runner.status()
    assert (status["state"], status["done"], status["errors"]) == ("running", 100, 0)
    assert (status["partitions"], status["in_flight"]) == (3, 0)


def test_a_killed_agent_repeats_what_it_had_not_committed_with_the_same_ids(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = stage.agent()
    with monkeypatch.context() as patched:
        patched.setattr(runner_module, "COMMIT_EVERY_S", 1e9)
        first = stage.runner(agent)
        first._committed_at_s = float("inf")  # it dies before its first commit
        running = stage.run(first)
        stage.send_all(agent.reads[0], map(str, range(10)))
        wait_for(lambda: len(texts(agent.writes[0])) == 10)
        running.kill()
        stage.forget(running)
    assert committed(agent) == {}

    stage.start(agent)

    wait_for(lambda: sum(committed(agent).values()) == 10)
    published = ids(agent.writes[0])
    assert len(published) == 20
    assert published[:10] == published[10:]


def test_only_the_contiguous_finished_prefix_is_committed(stage: Stage) -> None:
    may_end = asyncio.Event()

    async def handle(event: Event[Any], ctx: Context) -> AsyncIterator[Send]:
        if event.data.text == "slow":
            await may_end.wait()
        for send in repeat(event, ctx):
            yield send

    agent = stage.agent(handle_async=handle)
    running = stage.start(agent)
    stage.send_all(agent.reads[0], ["0", "1", "slow", *map(str, range(3, 10))], keys=10)

    wait_for(lambda: len(texts(agent.writes[0])) == 9)
    wait_for(lambda: sum(committed(agent).values()) == 2)
    assert running.runner.status()["in_flight"] == 1

    stage.on_loop(may_end.set)
    wait_for(lambda: sum(committed(agent).values()) == 10)


def test_many_outputs_of_one_record_are_all_there_before_its_commit(
    stage: Stage,
) -> None:
    def handle(event: Event[Any], ctx: Context) -> list[Send]:
        [send] = repeat(event, ctx)
        return [
            Send(send.topic, Note(text=f"{event.data.text}.{n}")) for n in range(100)
        ]

    agent = stage.agent(handle=handle)
    stage.start(agent)

    stage.send_all(agent.reads[0], ["a", "b"])

    wait_for(lambda: sum(committed(agent).values()) == 2)
    assert texts(agent.writes[0]) == [
        f"{name}.{n}" for name in "ab" for n in range(100)
    ]


def test_a_record_that_causes_nothing_is_committed_too(stage: Stage) -> None:
    agent = stage.agent(handle=lambda event, ctx: [])
    stage.start(agent)

    stage.send_all(agent.reads[0], ["a"])

    wait_for(lambda: sum(committed(agent).values()) == 1)


def test_a_sink_commits_what_it_has_taken(stage: Stage) -> None:
    taken: list[str] = []

    async def take(events: Any) -> None:
        taken.extend(event.data.text for event in events)

    agent = stage.agent(handle_batch=take, kind="sink", batch_size=7)
    stage.start(agent)

    stage.send_all(agent.reads[0], map(str, range(50)))

    wait_for(lambda: sum(committed(agent).values()) == 50)
    assert taken == list(map(str, range(50)))


def test_a_sink_of_records_may_read_topics_without_a_contract(stage: Stage) -> None:
    taken: list[bytes] = []

    async def take(records: Any) -> None:
        taken.extend(record.value for record in records)

    topic = stage.topic("bytes", contract=None)
    agent = stage.agent(reads=(topic,), handle_records=take, kind="sink")
    stage.start(agent)

    stage.send(topic, value=b"\x00\xff", headers=[])

    wait_for(lambda: sum(committed(agent).values()) == 1)
    assert taken == [b"\x00\xff"]


def test_an_agent_of_events_cannot_read_a_topic_without_a_contract(
    stage: Stage,
) -> None:
    topic = stage.topic("bytes", contract=None)
    agent = stage.agent(reads=(topic,))
    running = stage.start(agent)

    stage.send(topic, value=b"x")

    wait_for(lambda: running.runner.errors == 1)


def test_what_kafka_does_not_acknowledge_in_time_is_published_again(
    stage: Stage, services: Services
) -> None:
    assert services.kafka is not None
    node, frozen = services.kafka.nodes[0], threading.Event()

    def handle(event: Event[Any], ctx: Context) -> list[Send]:
        assert frozen.wait(10)
        return list(repeat(event, ctx))

    agent = stage.agent(handle=handle)
    runner = stage.runner(agent)
    runner._outlet._producer._config["delivery.timeout.ms"] = 500
    runner._outlet._producer._producer = KafkaProducer(runner._outlet._producer._config)
    with capture_logs() as logs:
        stage.run(runner)
        stage.send_all(agent.reads[0], ["a"])
        wait_for(lambda: runner.status()["in_flight"] == 1)
        node.freeze()
        try:
            frozen.set()
            wait_for(lambda: [log for log in logs if log["event"] == "publish_retried"])
            assert runner.status()["in_flight"] == 1
        finally:
            node.thaw()

    wait_for(lambda: sum(committed(agent).values()) == 1, timeout_s=20)
    assert len(set(ids(agent.writes[0]))) == 1
    assert runner.errors == 0


def test_a_commit_that_fails_is_made_again(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = stage.agent()
    runner = stage.runner(agent)
    commit, failures = runner._consumer.commit, [1, 2]

    def fail_at_first(offsets: Any, *, wait: bool = False) -> None:
        if failures:
            failures.pop()
            raise BrokerError("the coordinator moves", retriable=True)
        commit(offsets, wait=wait)

    monkeypatch.setattr(runner._consumer, "commit", fail_at_first)
    stage.run(runner)
    stage.send_all(agent.reads[0], ["a"])

    wait_for(lambda: sum(committed(agent).values()) == 1)
    assert failures == []
