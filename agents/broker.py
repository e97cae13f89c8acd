"""Kafka as the rest of the code sees it: a consumer, a producer, and what goes wrong with them."""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

import structlog
from confluent_kafka import (
    OFFSET_END,
    KafkaError,
    KafkaException,
    TopicPartition,
)
from confluent_kafka import (
    Consumer as KafkaConsumer,
)
from confluent_kafka import (
    Message as KafkaMessage,
)
from confluent_kafka import (
    Producer as KafkaProducer,
)

from agents.cloudevents import Headers
from agents.records import Partition, Record
from agents.throttle import Throttle
from agents.topics import DEAD_LETTER_MAX_BYTES

log = structlog.get_logger()

CLOSE_S = 2.0
GATHER_BYTES = 1_000_000  # then Kafka sends what it has gathered

Delivered = Callable[[Exception | None], None]


class BrokerError(Exception):
    """Kafka did not take or give a record. retriable: the same call may succeed later."""

    def __init__(self, reason: str, *, retriable: bool) -> None:
        super().__init__(reason)
        self.retriable = retriable


class Rebalance(Protocol):
    """Who is told when partitions come and go. Called from within fetch()."""

    def assigned(self, partitions: list[Partition]) -> Mapping[Partition, int]:
        """Return the offsets to start at, for the partitions that know one."""

    def revoked(self, partitions: list[Partition]) -> None: ...

    def not_committed(self, partitions: list[Partition]) -> None: ...


class Consumer:
    """A member of a group. Offsets are committed only when asked."""

    def __init__(
        self,
        client: Mapping[str, str],
        *,
        group: str,
        topics: Iterable[str],
        rebalance: Rebalance,
        linger_s: float = 0.0,
    ) -> None:
        """linger_s: how long Kafka may gather records, instead of sending each that comes."""
        self._client = dict(client)
        self._rebalance = rebalance
        self._gone: set[Partition] = set()
        self._unanswered = 0  # commits
        self._consumer = KafkaConsumer(
            dict(client)
            | {
                "group.id": group,
                "group.protocol": "consumer",
                # Kafka's own choice gives whole topics away, so that two could not share one.
                "group.remote.assignor": "range",
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "auto.offset.reset": "earliest",
                "fetch.wait.max.ms": round(linger_s * 1000) or 500,
                "fetch.min.bytes": GATHER_BYTES if linger_s else 1,
                "fetch.queue.backoff.ms": 5,
                "fetch.message.max.bytes": DEAD_LETTER_MAX_BYTES,
                "queued.max.messages.kbytes": 32_768,
                # Default 5 min: so long may last what a starting broker did not know yet.
                "topic.metadata.refresh.interval.ms": 10_000,
                "socket.nagle.disable": True,
                "error_cb": _log_error,
                "logger": _library_log,
                "on_commit": self._on_commit,
            }
        )
        self._consumer.subscribe(
            list(topics),
            on_assign=self._assign,
            on_revoke=self._revoke,
            on_lost=self._lose,
        )

    def fetch(self, limit: int, timeout_s: float) -> list[Record]:
        """Wait for one record, then take what else is there, up to limit."""
        first = self._consumer.poll(timeout_s)
        if first is None:
            return []
        self._gone.clear()
        more = self._consumer.consume(limit - 1, 0) if limit > 1 else []
        records = [
            record_of(message) for message in (first, *more) if _is_record(message)
        ]
        if records and (records[0].topic, records[0].partition) in self._gone:
            del records[0]  # its partition was revoked while the others were fetched
        return records

    def commit(self, offsets: Mapping[Partition, int], *, wait: bool = False) -> None:
        """Commit next offsets. Raises BrokerError only when waiting."""
        positions = [
            TopicPartition(topic, partition, offset)
            for (topic, partition), offset in offsets.items()
        ]
        try:
            if wait:
                done = self._consumer.commit(offsets=positions, asynchronous=False)
                self._tell_refused(None, done)
            else:
                self._consumer.commit(offsets=positions, asynchronous=True)
                self._unanswered += 1
        except KafkaException as error:
            raise broker_error(error) from error

    def await_commits(self, timeout_s: float) -> None:
        """Wait until Kafka has answered all; only before close(), as what is fetched is dropped.

        A commit that waits has no timeout of its own.
        """
        deadline_s = time.monotonic() + timeout_s
        while self._unanswered and time.monotonic() < deadline_s:
            self._consumer.poll(0.01)

    def pause(self, partitions: Iterable[Partition]) -> None:
        self._consumer.pause([TopicPartition(*partition) for partition in partitions])

    def resume(self, partitions: Iterable[Partition]) -> None:
        self._consumer.resume([TopicPartition(*partition) for partition in partitions])

    def ends(
        self, partitions: list[Partition], timeout_s: float
    ) -> dict[Partition, int]:
        """Ask Kafka for the offset after the last record of each. BrokerError."""
        return _ends(self._consumer, partitions, timeout_s)

    def starts(
        self, partitions: list[Partition], timeout_s: float
    ) -> dict[Partition, int]:
        """Ask Kafka where this group goes on: after its commit, else at the first record."""
        asked = [TopicPartition(*partition) for partition in partitions]
        try:
            committed = self._consumer.committed(asked, timeout=timeout_s)
        except KafkaException as error:
            raise broker_error(error) from error
        return {
            (place.topic, place.partition): max(0, place.offset)
            for place in committed
            if not place.error
        }

    def has_record(self, partition: Partition, offset: int, timeout_s: float) -> bool:
        """Tell whether another consumer gets a record from there on. BrokerError: nobody knows."""
        with self._onlooker() as onlooker:
            onlooker.assign([TopicPartition(*partition, offset)])
            message = onlooker.poll(timeout_s)
        if message is None:
            raise BrokerError("no answer in time", retriable=True)
        error = message.error()
        if error is not None and error.name() != "_PARTITION_EOF":
            raise BrokerError(error.str(), retriable=True)
        return error is None

    def others_see(self, partitions: list[Partition], timeout_s: float) -> bool:
        """Tell whether a client that has just been made is told where they end."""
        with self._onlooker() as onlooker:
            try:
                return _ends(onlooker, partitions, timeout_s).keys() == set(partitions)
            except BrokerError:
                return False

    @contextmanager
    def _onlooker(self) -> Iterator[KafkaConsumer]:
        onlooker = KafkaConsumer(
            self._client
            | {
                "group.id": "interlock.watchdog",
                "auto.offset.reset": "earliest",
                "enable.partition.eof": True,
                "error_cb": _log_error,
                "logger": _library_log,
            }
        )
        try:
            yield onlooker
        finally:
            onlooker.close()

    def nudge(self, partitions: list[Partition]) -> None:
        """Pause and resume: the client's own idea of what is paused is made new."""
        self.pause(partitions)
        self.resume(partitions)

    def close(self) -> None:
        """Leave the group. librdkafka waits for commits that Kafka has not answered: not we."""
        closing = threading.Thread(target=self._consumer.close, daemon=True)
        closing.start()
        closing.join(CLOSE_S)

    def _assign(self, consumer: KafkaConsumer, assigned: list[TopicPartition]) -> None:
        starts = self._rebalance.assigned(_partitions(assigned))
        for position in assigned:
            offset = starts.get((position.topic, position.partition))
            if offset is not None:
                position.offset = offset
        consumer.incremental_assign(assigned)

    def _revoke(self, consumer: KafkaConsumer, revoked: list[TopicPartition]) -> None:
        self._gone.update(_partitions(revoked))
        self._rebalance.revoked(_partitions(revoked))
        consumer.incremental_unassign(revoked)

    def _lose(self, consumer: KafkaConsumer, lost: list[TopicPartition]) -> None:
        self._gone.update(_partitions(lost))
        self._rebalance.revoked(_partitions(lost))
        consumer.incremental_unassign(lost)

    def _on_commit(
        self, error: KafkaError | None, positions: list[TopicPartition]
    ) -> None:
        self._unanswered -= 1
        self._tell_refused(error, positions)

    def _tell_refused(
        self, error: KafkaError | None, positions: list[TopicPartition]
    ) -> None:
        refused = [position for position in positions if error or position.error]
        if refused:
            reason = str(error or refused[0].error)
            log.warning("commit_refused", reason=reason)
            self._rebalance.not_committed(_partitions(refused))


def _ends(
    consumer: KafkaConsumer, partitions: list[Partition], timeout_s: float
) -> dict[Partition, int]:
    asked = [TopicPartition(*partition, OFFSET_END) for partition in partitions]
    try:
        found = consumer.offsets_for_times(asked, timeout=timeout_s)
    except KafkaException as error:
        raise broker_error(error) from error
    return {
        (place.topic, place.partition): place.offset
        for place in found
        if not place.error
    }


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
            "error_cb": _log_error,
            "logger": _library_log,
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
                    on_delivery=lambda error, _: delivered(_delivery_error(error)),
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


def record_of(message: Any) -> Record:
    """message: a KafkaMessage without error. Its stubs allow for text and None, which it never holds."""
    return Record(
        topic=message.topic(),
        partition=message.partition(),
        offset=message.offset(),
        timestamp_ms=message.timestamp()[1],
        key=message.key(),
        value=message.value() or b"",
        headers=[(name, value or b"") for name, value in message.headers() or ()],
    )


def _is_record(message: KafkaMessage) -> bool:
    error = message.error()
    if error is None:
        return True
    if error.fatal():
        raise BrokerError(error.str(), retriable=False)
    log.warning("kafka_fetch_failed", reason=error.str(), code=error.name())
    return False


def _partitions(positions: list[TopicPartition]) -> list[Partition]:
    return [(position.topic, position.partition) for position in positions]


def _delivery_error(error: KafkaError | None) -> BrokerError | None:
    if error is None:
        return None
    return BrokerError(error.str(), retriable=error.code() not in _HOPELESS)


_HOPELESS = {
    KafkaError.MSG_SIZE_TOO_LARGE,
    KafkaError.INVALID_RECORD,
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
}


def broker_error(error: KafkaException) -> BrokerError:
    cause = error.args[0]
    return BrokerError(cause.str(), retriable=cause.code() not in _HOPELESS)


_said = Throttle()


def _log_error(error: KafkaError) -> None:
    _say(error.str(), code=error.name())


class _Throttled(logging.Handler):
    """What librdkafka would write to stderr. Of a failing broker it also calls error_cb."""

    def emit(self, record: logging.LogRecord) -> None:
        facility, _client, text = record.args or ("", "", record.msg)
        _say(str(text), code=str(facility))


_library_log = logging.getLogger("librdkafka")
_library_log.propagate = False
_library_log.addHandler(_Throttled())


def _say(reason: str, *, code: str) -> None:
    repeated = _said.admit(reason)
    if repeated is not None:
        log.warning("kafka_client_error", reason=reason, code=code, repeated=repeated)
