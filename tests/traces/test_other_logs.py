"""The recorder and a Kafka that no longer has what it had: emptied, or older than its retention."""

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import msgspec
import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient
from django.conf import settings

from agents.agent import Agent
from agents.host import conninfo
from agents.tools import Tools
from agents.topic_setup import ensure_topics
from agents.topics import TOPICS
from controlplane.audit.models import Entry
from controlplane.traces.models import RecorderOffset, TraceRecord
from controlplane.traces.sinks import recorder
from tests.agents.stage import Running, Stage
from tests.guardrails.factories import make_masker
from tests.loop_thread import LoopThread
from tests.waiting import wait_for

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def tools(loop_thread: LoopThread) -> Iterator[Tools]:
    made = Tools(conninfo(), settings.KAFKA, make_masker())
    loop_thread.run(made.database.open())
    yield made
    loop_thread.run(made.database.close())
    made.publisher.close()


@pytest.fixture
def topic(stage: Stage) -> str:
    return stage.topic("in")


@pytest.fixture
def agent(tools: Tools, topic: str) -> Agent:
    """The recorder of this one topic, with a group of its own."""
    name = f"recorder-{uuid4().hex[:10]}"
    return msgspec.structs.replace(recorder(tools), name=name, reads=(topic,))


def recorded() -> list[str]:
    """Return the ids of what is in the index, in the order of Kafka's append."""
    found = TraceRecord.objects.order_by("at", "offset").values_list("event_id")
    return [row[0] for row in found]


def record_until(stage: Stage, running: Running, ids: list[str]) -> None:
    wait_for(lambda: recorded() == ids, timeout_s=20, what=f"{ids} in the index")
    running.drain()
    stage.forget(running)


def told() -> list[tuple[str, str, dict[str, Any]]]:
    entries = Entry.objects.filter(actor="recorder").order_by("id")
    return [(entry.action, entry.subject, entry.detail) for entry in entries]


def recreate(topic: str) -> None:
    admin = AdminClient(dict(settings.KAFKA))
    admin.delete_topics([topic])[topic].result(10)
    wait_for(lambda: topic not in admin.list_topics(timeout=10).topics)
    ensure_topics(settings.KAFKA, [TOPICS[topic]], create=True)


def drop_before(topic: str, offset: int) -> None:
    """Do what retention does."""
    admin = AdminClient(dict(settings.KAFKA))
    wanted = TopicPartition(topic, 0, offset)
    admin.delete_records([wanted])[wanted].result(10)


def test_a_log_that_has_replaced_the_old_one_is_recorded_from_its_start(
    stage: Stage, agent: Agent, topic: str
) -> None:
    old = stage.send_all(topic, ["a", "b", "c"])
    record_until(stage, stage.start(agent), old)
    recreate(topic)
    new = stage.send_all(topic, ["d", "e"])

    record_until(stage, stage.start(agent), old + new)

    assert told() == [
        ("log_replaced", f"{topic}/0", {"recorded_up_to": 3, "goes_on_at": 0})
    ]
    assert RecorderOffset.objects.get().next_offset == 2
    offsets = TraceRecord.objects.order_by("at", "offset").values_list("offset")
    assert [row[0] for row in offsets] == [0, 1, 2, 0, 1]


def test_a_log_that_is_replaced_while_the_recorder_runs_is_recorded(
    stage: Stage, agent: Agent, topic: str
) -> None:
    old = stage.send_all(topic, ["a", "b", "c"])
    running = stage.start(agent)
    wait_for(lambda: recorded() == old, timeout_s=20)
    recreate(topic)
    new = stage.send_all(topic, ["d", "e"])

    record_until(stage, running, old + new)

    assert [action for action, _, _ in told()] == ["log_replaced"]


def test_records_that_kafka_dropped_before_they_were_recorded_are_counted(
    stage: Stage, agent: Agent, topic: str
) -> None:
    first = stage.send_all(topic, ["a", "b"])
    record_until(stage, stage.start(agent), first)
    later = stage.send_all(topic, ["c", "d", "e", "f"])
    drop_before(topic, 5)

    record_until(stage, stage.start(agent), first + later[3:])

    assert told() == [
        (
            "records_missed",
            f"{topic}/0",
            {"recorded_up_to": 2, "goes_on_at": 5, "missing_at_most": 3},
        )
    ]


def test_what_kafka_dropped_before_the_recorder_knew_the_topic_is_not_counted(
    stage: Stage, agent: Agent, topic: str
) -> None:
    sent = stage.send_all(topic, ["a", "b", "c"])
    drop_before(topic, 2)

    record_until(stage, stage.start(agent), sent[2:])

    assert told() == []
