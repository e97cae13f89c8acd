"""Five bare Kafka hops, one after the other: what a turn's way through Kafka costs at the least."""

import itertools
import statistics
import struct
import threading
import time
from uuid import uuid4

from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from tests.waiting import wait_for

HOPS = 5
RATE_PER_S = 50
SECONDS = 10

_SURE = {
    "linger.ms": 0,
    "socket.nagle.disable": True,
    "acks": "all",
    "enable.idempotence": True,
}


def measure(client: dict[str, str]) -> dict[str, float]:
    """Return p50 and p99 in milliseconds from the first produce to the last consume."""
    names = [f"chain.{uuid4().hex}.{number}" for number in range(HOPS + 1)]
    admin = AdminClient(dict(client))
    for future in admin.create_topics(
        [NewTopic(name, num_partitions=6) for name in names]
    ).values():
        future.result()
    stopping = threading.Event()
    took_s: list[float] = []
    threads = [
        threading.Thread(target=_hop, args=(client, source, sink, stopping))
        for source, sink in itertools.pairwise(names)
    ]
    threads.append(
        threading.Thread(target=_end, args=(client, names[-1], took_s, stopping))
    )
    for thread in threads:
        thread.start()
    try:
        producer = Producer(dict(client) | _SURE)
        _send(producer, names[0])
        wait_for(lambda: took_s, timeout_s=30, what="every hop has its partitions")
        took_s.clear()
        _ask(producer, names[0])
    finally:
        stopping.set()
        for thread in threads:
            thread.join()
    warm = sorted(took_s[len(took_s) // 4 :])
    return {
        "p50_ms": statistics.median(warm) * 1000,
        "p99_ms": warm[int(len(warm) * 0.99)] * 1000,
    }


def _ask(producer: Producer, topic: str) -> None:
    began_s = time.perf_counter()
    for number in range(RATE_PER_S * SECONDS):
        due_s = began_s + number / RATE_PER_S
        while (left_s := due_s - time.perf_counter()) > 0:
            producer.poll(left_s)  # returns with each acknowledgement
        _send(producer, topic, str(number))
    producer.flush(10)
    time.sleep(1)  # what is still on its way


def _send(producer: Producer, topic: str, key: str = "") -> None:
    producer.produce(topic, struct.pack("d", time.perf_counter()), key)


def _consumer(client: dict[str, str], topic: str) -> Consumer:
    consumer = Consumer(
        dict(client)
        | {
            "group.id": f"chain-{uuid4().hex}",
            "group.protocol": "consumer",
            "auto.offset.reset": "earliest",
            "socket.nagle.disable": True,
        }
    )
    consumer.subscribe([topic])
    return consumer


def _hop(
    client: dict[str, str], source: str, sink: str, stopping: threading.Event
) -> None:
    consumer = _consumer(client, source)
    producer = Producer(dict(client) | _SURE)
    while not stopping.is_set():
        message = consumer.poll(0.1)
        producer.poll(0)
        if message is not None and message.error() is None:
            producer.produce(sink, message.value(), message.key())
    consumer.close()


def _end(
    client: dict[str, str], topic: str, took_s: list[float], stopping: threading.Event
) -> None:
    consumer = _consumer(client, topic)
    while not stopping.is_set():
        message = consumer.poll(0.1)
        if message is not None and message.error() is None:
            (began_s,) = struct.unpack("d", message.value() or b"")
            took_s.append(time.perf_counter() - began_s)
    consumer.close()
