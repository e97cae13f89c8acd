"""A member of a consumer group, and what it gets: records, and word of partitions that come and go."""

import threading
import time
from collections.abc import Iterable, Iterator, Mapping
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

from agents.broker.errors import BrokerError, broker_error, library_log, log_error
from agents.records import Partition, Record
from agents.topics import DEAD_LETTER_MAX_BYTES

log = structlog.get_logger()

CLOSE_S = 2.0
GATHER_BYTES = 1_000_000  # then Kafka sends what it has gathered


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
                "error_cb": log_error,
                "logger": library_log,
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
                "error_cb": log_error,
                "logger": library_log,
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
