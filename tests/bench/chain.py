"""Five bare Kafka hops, one after the other: what a turn's way through Kafka costs at the least."""

import itertools
import statistics
import struct
import threading
import time
from uuid import uuid4

from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

HOPS = 5
RATE_PER_S = 50
SECONDS = 10

_QUICK = {"linger.ms": 0, "socket.nagle.disable": True}


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
    _ask(client, names[0])
    stopping.set()
    for thread in threads:
        thread.join()
    warm = sorted(took_s[len(took_s) // 4 :])
    return {
        "p50_ms": statistics.median(warm) * 1000,
        "p99_ms": warm[int(len(warm) * 0.99)] * 1000,
    }


def _ask(client: dict[str, str], topic: str) -> None:
    producer = Producer(
        dict(client) | _QUICK | {"acks": "all", "enable.idempotence": True}
    )
    began_s = time.perf_counter()
    for number in range(RATE_PER_S * SECONDS):
        delay_s = began_s + number / RATE_PER_S - time.perf_counter()
        producer.poll(max(0.0, delay_s))
        producer.produce(topic, struct.pack("d", time.perf_counter()), str(number))
    producer.flush(10)
    time.sleep(1)  # what is still on its way


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
    producer = Producer(
        dict(client) | _QUICK | {"acks": "all", "enable.idempotence": True}
    )
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
