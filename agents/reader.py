"""Reads a part of the log again, for those who belong to no group."""

from collections.abc import Iterator, Mapping
from typing import Any

from confluent_kafka import Consumer, KafkaError, TopicPartition

from agents.broker import BrokerError, record_of
from agents.records import Partition, Record

SILENCE_S = 15.0
BATCH = 1_000

Ranges = Mapping[
    Partition, tuple[int, int]
]  # from the first offset to before the second


def read(client: Mapping[str, str], ranges: Ranges) -> Iterator[Record]:
    """Yield the records of these ranges, those of a partition in order. BrokerError."""
    left = {partition: end for partition, (start, end) in ranges.items() if start < end}
    if not left:
        return
    consumer = _consumer(client)
    try:
        consumer.assign([TopicPartition(*each, ranges[each][0]) for each in left])
        while left:
            first = consumer.poll(SILENCE_S)
            if first is None:
                raise BrokerError(
                    f"Kafka gave nothing for {SILENCE_S:g} s", retriable=True
                )
            for message in (first, *consumer.consume(BATCH, 0)):
                yield from _taken(message, left)
    finally:
        consumer.close()


def _consumer(client: Mapping[str, str]) -> Consumer:
    options: Any = dict(client) | {
        "group.id": "interlock.reader",  # wanted by librdkafka; nothing is committed
        "enable.auto.commit": False,
        "auto.offset.reset": "earliest",
        "enable.partition.eof": True,
        "error_cb": lambda _: None,
        "log_level": 0,  # whoever asks hears of it
    }
    return Consumer(options)


def _taken(message: Any, left: dict[Partition, int]) -> Iterator[Record]:
    """Yield the message if it is wanted, and strike off the partition that has been read."""
    partition = (message.topic(), message.partition())
    error = message.error()
    if error is not None and error.code() != KafkaError._PARTITION_EOF:  # noqa: SLF001
        raise BrokerError(error.str(), retriable=True)
    end = left.get(partition)
    if end is None:
        return
    if error is None and message.offset() < end:
        yield record_of(message)
    if error is not None or message.offset() + 1 >= end:
        del left[partition]
