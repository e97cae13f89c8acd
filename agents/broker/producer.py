"""Publishes records."""

import threading
from collections.abc import Callable, Mapping
from typing import Any

import structlog
from confluent_kafka import KafkaException
from confluent_kafka import Producer as KafkaProducer

from agents.broker.errors import BrokerError, delivery_error, library_log, log_error
from agents.cloudevents import Headers
from agents.topics import DEAD_LETTER_MAX_BYTES

log = structlog.get_logger()

Delivered = Callable[[Exception | None], None]


class Producer:
    """Publishes with acks from all replicas, each record once and in order."""

    def __init__(self, client: Mapping[str, str]) -> None:
        self._lock = threading.Lock()
        self._config: dict[str, Any] = dict(client) | {
            "acks": "all",
            "enable.idempotence": True,
            "linger.ms": 0,
            "compression.type": "lz4",
            "message.max.bytes": DEAD_LETTER_MAX_BYTES + 1_000_000,
            "delivery.timeout.ms": 30_000,
            "queue.buffering.max.messages": 100_000,
            "socket.nagle.disable": True,
            "error_cb": log_error,
            "logger": library_log,
        }
        self._producer = KafkaProducer(self._config)

    def publish(
        self,
        topic: str,
        *,
        key: bytes | None,
        value: bytes | None,
        headers: Headers,
        delivered: Delivered,
    ) -> None:
        """Queue a record; delivered is called from serve() or flush() with its fate.

        BrokerError, not retriable, if the record can never be taken.
        """
        while True:
            producer = self._producer
            try:
                producer.produce(
                    topic,
                    value,
                    key,
                    headers=list(headers),
                    on_delivery=lambda error, _: delivered(delivery_error(error)),
                )
            except BufferError:
                producer.poll(0.05)
            except KafkaException as error:
                if error.args[0].fatal():
                    self._replace(producer, str(error))
                    continue
                raise BrokerError(str(error), retriable=False) from error
            else:
                return

    def _replace(self, dead: KafkaProducer, reason: str) -> None:
        """librdkafka's word for it is fatal: this producer never takes a record again.

        What it still had is told as undelivered, so that it is published by the new one.
        """
        with self._lock:
            if self._producer is not dead:
                return
            log.error("producer_replaced", reason=reason)
            self._producer = KafkaProducer(self._config)
        dead.purge()
        dead.flush(1)

    def serve(self, timeout_s: float = 0) -> int:
        """Call what waits to be told; return how many calls were made."""
        return self._producer.poll(timeout_s)

    def flush(self, timeout_s: float) -> int:
        """Wait for what is under way; return how many records are still open."""
        return self._producer.flush(timeout_s)
