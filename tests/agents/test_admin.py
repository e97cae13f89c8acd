"""How far groups are, asked of the real Kafka."""

import time

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient
from django.conf import settings

from agents.admin import Admin, Positions
from agents.agent import Agent
from agents.broker import BrokerError
from agents.topics import DEAD_LETTERS
from controlplane.embedded.services import Services
from tests.agents.stage import Stage, committed, members
from tests.waiting import wait_for

TIMEOUT_S = 1.0


def look(agent: Agent, watched: str = DEAD_LETTERS) -> Positions:
    """A new group has no coordinator until Kafka has chosen one."""
    admin = admin_of(agent)
    return answer_of(admin, agent, watched)


def admin_of(agent: Agent) -> Admin:
    client = settings.KAFKA | {"log_level": "0"}
    return Admin(client, {f"interlock.{agent.name}": agent.reads})


def answer_of(admin: Admin, agent: Agent, watched: str = DEAD_LETTERS) -> Positions:
    seen = wait_for(lambda: ask(admin, agent, watched), timeout_s=30)
    assert seen is not None
    return seen


def ask(admin: Admin, agent: Agent, watched: str = DEAD_LETTERS) -> Positions | None:
    try:
        return admin.positions(
            topics={*agent.reads, watched},
            watched=watched,
            window_s=60,
            timeout_s=TIMEOUT_S,
        )
    except BrokerError:
        return None


def test_tells_what_a_group_has_committed_though_nobody_runs_it(stage: Stage) -> None:
    topic = stage.topic("in", partitions=2)
    agent = stage.agent(reads=(topic,))
    stage.send_all(topic, map(str, range(6)), keys=20)
    running = stage.start(agent)
    wait_for(lambda: sum(committed(agent).values()) == 6)
    running.drain()
    stage.forget(running)
    stage.send_all(topic, map(str, range(4)), keys=20)

    seen = look(agent)

    assert seen.committed == {f"interlock.{agent.name}": committed(agent)}
    assert sum(seen.ends[topic, number] for number in range(2)) == 10
    assert sum(seen.starts[topic, number] for number in range(2)) == 0


def test_knows_where_a_topic_begins_after_retention(stage: Stage) -> None:
    topic = stage.topic("in")
    stage.send_all(topic, map(str, range(5)))
    admin = AdminClient(dict(settings.KAFKA))
    [deleted] = admin.delete_records([TopicPartition(topic, 0, 3)]).values()
    deleted.result(10)

    seen = look(stage.agent(reads=(topic,)))

    assert (seen.starts[topic, 0], seen.ends[topic, 0]) == (3, 5)


def test_a_group_that_never_was_has_no_commits_and_a_missing_topic_no_end(
    stage: Stage,
) -> None:
    agent = stage.agent(reads=(f"missing-{time.monotonic_ns()}",))

    seen = look(agent)

    assert seen.committed == {f"interlock.{agent.name}": {}}
    assert agent.reads[0] not in {topic for topic, _ in seen.ends}


def test_counts_what_was_appended_lately(stage: Stage) -> None:
    topic = stage.topic("in", partitions=2)
    agent = stage.agent(reads=(topic,))
    assert look(agent, watched=topic).recent == 0

    stage.send_all(topic, map(str, range(7)), keys=20)

    assert look(agent, watched=topic).recent == 7


def test_a_kafka_that_is_away_is_an_error_and_soon() -> None:
    client = {"bootstrap.servers": "127.0.0.1:9", "log_level": "0"}
    admin = Admin(client, {"g": ["t"]})
    started_s = time.monotonic()

    with pytest.raises(BrokerError):
        admin.positions(topics=["t"], watched="t", window_s=60, timeout_s=0.3)

    assert time.monotonic() - started_s < 2


def test_a_frozen_kafka_is_an_error_and_soon(stage: Stage, services: Services) -> None:
    assert services.kafka
    agent = stage.agent()
    admin = admin_of(agent)
    answer_of(admin, agent)

    services.kafka.nodes[0].freeze()
    try:
        started_s = time.monotonic()
        assert ask(admin, agent) is None
        assert time.monotonic() - started_s < TIMEOUT_S + 1
    finally:
        services.kafka.nodes[0].thaw()


def test_looks_on_after_a_restart_of_kafka(stage: Stage, services: Services) -> None:
    """A coordinator that has just started refuses: librdkafka's AdminClient dies of that."""
    assert services.kafka
    agent = stage.agent()
    admin = admin_of(agent)
    before = answer_of(admin, agent)

    services.kafka.nodes[0].stop()
    services.kafka.nodes[0].start()

    after = answer_of(admin, agent)
    assert after.ends[agent.reads[0], 0] == before.ends[agent.reads[0], 0]


def test_who_looks_is_no_member(stage: Stage) -> None:
    agent = stage.agent()
    stage.send_all(agent.reads[0], ["a"])
    running = stage.start(agent)
    wait_for(lambda: members(agent) == 1)

    look(agent)

    assert members(agent) == 1
    assert running.error is None
