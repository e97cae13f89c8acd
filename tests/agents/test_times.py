"""When the record at an offset was appended, asked without reading it."""

import time
from typing import Any

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # not in its stubs
    AdminClient,
    NewTopic,
)
from django.conf import settings

from agents.admin import Admin
from agents.broker import BrokerError
from tests.agents.stage import Stage
from tests.waiting import wait_for

HOUR_MS = 3_600_000
HOURS_AGO = (50, 3, 2, 0)


def test_the_time_of_any_record_is_found_to_the_second(stage: Stage) -> None:
    name, now_ms = f"times.{stage.id}", int(time.time() * 1000)
    appended = [now_ms - hours * HOUR_MS for hours in HOURS_AGO]
    topic = NewTopic(
        name,
        num_partitions=2,
        replication_factor=1,
        config={"message.timestamp.type": "CreateTime"},
    )
    client = AdminClient(dict(settings.KAFKA))
    client.create_topics([topic])[name].result()
    fill(name, appended)
    admin = Admin(settings.KAFKA, {f"interlock.{stage.id}": [name]})

    def times(offsets: dict[tuple[str, int], int], hours: int = 100) -> dict[Any, int]:
        return admin.times_ms(offsets, ago_ms=hours * HOUR_MS, timeout_s=10)

    wait_for(lambda: times({(name, 1): 0}))
    for offset, at in enumerate(appended):
        found = times({(name, 1): offset, (name, 0): len(appended) - 1})
        assert at - 1_000 <= found[name, 1] <= at
        assert appended[-1] - 1_000 <= found[name, 0] <= appended[-1]
    assert times({}) == {}
    before = times({(name, 1): 0}, hours=10)[name, 1]  # it is older than that
    assert abs(before - (now_ms - 10 * HOUR_MS)) < 60_000


def fill(name: str, appended: list[int]) -> None:
    producer = Producer(dict(settings.KAFKA))
    for partition in (0, 1):
        for at in appended:
            producer.produce(name, b"x", partition=partition, timestamp=at)
    assert producer.flush(10) == 0


def test_a_kafka_that_is_away_says_so() -> None:
    nowhere: Any = {"bootstrap.servers": "127.0.0.1:9"}
    admin = Admin(nowhere, {"interlock.x": ["a"]})

    with pytest.raises(BrokerError):
        admin.times_ms({("a", 0): 1}, ago_ms=HOUR_MS, timeout_s=0.3)
