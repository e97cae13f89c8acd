import asyncio
import threading
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka import Producer as KafkaProducer
from django.conf import settings

from agents import cloudevents
from agents.broker import BrokerError, Producer
from agents.broker import producer as producer_module
from agents.publisher import Publisher
from agents.work import Outgoing
from controlplane.embedded.services import Services
from tests.agents.stage import Note, Stage, envelope, texts, until
from tests.waiting import wait_for


@pytest.fixture
async def publisher(services: Services) -> AsyncIterator[Publisher]:
    made = Publisher(settings.KAFKA)
    yield made
    await asyncio.to_thread(made.close)


def note(topic: str, text: str) -> Outgoing:
    value = msgspec.json.encode(Note(text=text))
    return Outgoing(topic, b"k", value, cloudevents.encode_headers(envelope()))


async def test_it_returns_once_kafka_has_the_record(
    stage: Stage, publisher: Publisher
) -> None:
    topic = stage.topic("out")

    await publisher.publish(note(topic, "a"), timeout_s=10)

    assert texts(topic) == ["a"]


async def test_records_arrive_in_the_order_of_the_calls(
    stage: Stage, publisher: Publisher
) -> None:
    topic = stage.topic("out")

    await asyncio.gather(
        *(publisher.publish(note(topic, str(n)), timeout_s=10) for n in range(500))
    )

    assert texts(topic) == list(map(str, range(500)))


async def test_without_an_acknowledgement_in_time_nobody_knows_yet(
    stage: Stage, publisher: Publisher, services: Services
) -> None:
    assert services.kafka is not None
    topic = stage.topic("out")
    await publisher.publish(note(topic, "before"), timeout_s=10)

    services.kafka.nodes[0].freeze()
    try:
        with pytest.raises(TimeoutError):
            await publisher.publish(note(topic, "while"), timeout_s=0.3)
    finally:
        services.kafka.nodes[0].thaw()

    await publisher.publish(note(topic, "after"), timeout_s=20)
    assert texts(topic) == ["before", "while", "after"]


async def test_what_kafka_refuses_is_said(stage: Stage, publisher: Publisher) -> None:
    topic = stage.topic("out")

    with pytest.raises(BrokerError) as refused:
        await publisher.publish(note(topic, "x" * 20_000_000), timeout_s=10)

    assert refused.value.retriable is False


async def test_an_acknowledgement_that_comes_too_late_is_passed_over(
    stage: Stage, publisher: Publisher
) -> None:
    topic = stage.topic("out")

    with pytest.raises(TimeoutError):
        await publisher.publish(note(topic, "late"), timeout_s=0)

    await publisher.publish(note(topic, "after"), timeout_s=10)
    assert texts(topic) == ["late", "after"]


def test_an_acknowledgement_after_the_loop_was_closed_does_not_end_the_publisher(
    stage: Stage,
) -> None:
    publisher = Publisher(settings.KAFKA)
    topic = stage.topic("out")
    loop = asyncio.new_event_loop()
    publisher._stopping.set()  # acknowledgements are served by hand
    publisher._thread.join()

    async def give_up() -> None:
        with pytest.raises(TimeoutError):
            await publisher.publish(note(topic, "a"), timeout_s=0)

    loop.run_until_complete(give_up())
    loop.close()

    publisher.close()
    assert texts(topic) == ["a"]


# The producer below


class Dying:
    """A client whose librdkafka has failed for good, as after a lost producer id."""

    made: "list[Any]" = []

    def __init__(self, config: Any) -> None:
        self.is_dead = not self.made
        self.waiting: list[Any] = []
        self.sent: list[bytes] = []
        self.made.append(self)

    def produce(self, topic: str, value: bytes, key: Any, **options: Any) -> None:
        if self.is_dead and self.waiting:
            raise KafkaException(KafkaError(KafkaError._FATAL, "fenced", fatal=True))
        self.sent.append(value)
        self.waiting.append(options["on_delivery"])

    def purge(self) -> None:
        pass

    def flush(self, timeout_s: float) -> int:
        for told in self.waiting:
            told(KafkaError(KafkaError._PURGE_QUEUE), None)
        return 0

    def poll(self, timeout_s: float) -> int:
        return 0


def test_a_producer_that_failed_for_good_is_replaced_and_nothing_of_it_is_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Dying, "made", [])
    monkeypatch.setattr(producer_module, "KafkaProducer", Dying)
    producer = Producer({})
    told: list[Exception | None] = []

    for value in (b"a", b"b"):
        producer.publish(
            "out", key=None, value=value, headers=[], delivered=told.append
        )

    first, second = Dying.made
    assert (first.sent, second.sent) == ([b"a"], [b"b"])
    [error] = told  # so that it is published again
    assert isinstance(error, BrokerError)
    assert error.retriable
    producer._replace(first, "seen by another thread as well")
    assert len(Dying.made) == 2


def test_a_full_queue_is_waited_for(stage: Stage) -> None:
    topic = stage.topic("out")
    producer = Producer(settings.KAFKA)
    producer._config["queue.buffering.max.messages"] = 10
    producer._producer = KafkaProducer(producer._config)
    told: list[Exception | None] = []

    for n in range(100):
        producer.publish(
            topic,
            key=None,
            value=msgspec.json.encode(Note(text=str(n))),
            headers=[],
            delivered=told.append,
        )
    producer.flush(10)

    assert told == [None] * 100
    assert texts(topic) == list(map(str, range(100)))


async def test_calls_of_two_threads_are_all_confirmed(
    stage: Stage, publisher: Publisher
) -> None:
    topic = stage.topic("out")
    done: list[int] = []

    def work(start: int) -> None:
        async def publish() -> None:
            for n in range(start, start + 50):
                await publisher.publish(note(topic, str(n)), timeout_s=10)
                done.append(n)

        asyncio.run(publish())

    threads = [threading.Thread(target=work, args=(start,)) for start in (0, 50)]
    for thread in threads:
        thread.start()
    await until(lambda: len(done) == 100, timeout_s=20)
    for thread in threads:
        thread.join()

    assert wait_for(lambda: sorted(map(int, texts(topic)))) == list(range(100))
