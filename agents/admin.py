"""Asks Kafka how far groups are, for those who only look: nobody joins a group here.

With consumers that subscribe to nothing: librdkafka's AdminClient, asked for a group's offsets, ends the
process when the group's coordinator moves.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import msgspec
from confluent_kafka import (
    OFFSET_BEGINNING,
    OFFSET_END,
    KafkaError,
    KafkaException,
    TopicPartition,
)
from confluent_kafka import (
    Consumer as KafkaConsumer,
)
from confluent_kafka.admin import AdminClient
from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_fixed

from agents.broker import BrokerError, broker_error
from agents.records import Partition

T = TypeVar("T")

SECOND_MS = 1_000
CLOCKS_DIFFER_MS = 600 * SECOND_MS  # at most, between machines
_COORDINATOR_STARTS = {
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.NOT_COORDINATOR,
}


class Positions(msgspec.Struct, frozen=True, kw_only=True):
    """At one moment: where partitions begin and end, and what groups have committed.

    recent: how many records were appended to the watched topic within the window.
    """

    starts: dict[Partition, int]
    ends: dict[Partition, int]
    committed: dict[str, dict[Partition, int]]
    recent: int


class Admin:
    """Looks at groups and the topics that they read. For one thread at a time."""

    def __init__(
        self, client: Mapping[str, str], groups: Mapping[str, Iterable[str]]
    ) -> None:
        self._reads = {group: set(topics) for group, topics in groups.items()}
        self._consumers = {group: _onlooker(client, group) for group in groups}
        self._any = next(iter(self._consumers.values()))

    def positions(
        self, *, topics: Iterable[str], watched: str, window_s: float, timeout_s: float
    ) -> Positions:
        """Answer within about timeout_s, or raise BrokerError.

        A topic that does not exist has no partitions, a group that never was no commits.
        """
        deadline_s = time.monotonic() + timeout_s
        partitions = self._partitions(topics, timeout_s)
        since_ms = int((time.time() - window_s) * 1000)
        of_watched = [each for each in partitions if each[0] == watched]
        with ThreadPoolExecutor(len(self._consumers)) as pool:
            # Commits before ends: an agent is never ahead of what it reads.
            committed = pool.map(
                lambda group: self._committed(group, partitions, deadline_s),
                self._consumers,
            )
            found = dict(zip(self._consumers, committed, strict=True))
        starts = self._offsets(partitions, OFFSET_BEGINNING, deadline_s)
        since = self._offsets(of_watched, since_ms, deadline_s)
        ends = self._offsets(partitions, OFFSET_END, deadline_s)
        return Positions(
            starts=starts,
            ends=ends,
            committed=found,
            recent=sum(
                ends[partition] - offset
                for partition, offset in since.items()
                if offset >= 0  # below: nothing was appended since
            ),
        )

    def times_ms(
        self, offsets: Mapping[Partition, int], *, ago_ms: int, timeout_s: float
    ) -> dict[Partition, int]:
        """Return when the records at these offsets were appended, to the second; at most so long ago.

        Bisects with questions for offsets by time: who asks so may describe a topic, and need not read it.
        """
        deadline_s = time.monotonic() + timeout_s
        now_ms = int(time.time() * 1000)
        low = dict.fromkeys(offsets, now_ms - ago_ms)
        high = dict.fromkeys(offsets, now_ms + CLOCKS_DIFFER_MS)
        while wide := [each for each in offsets if high[each] - low[each] > SECOND_MS]:
            middle = {each: (low[each] + high[each]) // 2 for each in wide}
            for each, first in self._first_since(middle, deadline_s).items():
                is_before = 0 <= first <= offsets[each]  # below 0: nothing came since
                (low if is_before else high)[each] = middle[each]
        return low

    def _first_since(
        self, times: Mapping[Partition, int], deadline_s: float
    ) -> dict[Partition, int]:
        asked = [TopicPartition(*each, at) for each, at in times.items()]
        if not asked:
            return {}
        return _read(
            _ask(lambda: self._any.offsets_for_times(asked, timeout=_left(deadline_s)))
        )

    def _partitions(self, wanted: Iterable[str], timeout_s: float) -> list[Partition]:
        there = _ask(lambda: self._any.list_topics(timeout=timeout_s)).topics
        return [
            (name, number)
            for name in wanted
            if name in there
            for number in there[name].partitions
        ]

    def _offsets(
        self, partitions: list[Partition], at: int, deadline_s: float
    ) -> dict[Partition, int]:
        """Return the offsets at a time in milliseconds, or at the first or the next record."""
        return self._first_since(dict.fromkeys(partitions, at), deadline_s)

    def _committed(
        self, group: str, partitions: list[Partition], deadline_s: float
    ) -> dict[Partition, int]:
        consumer, reads = self._consumers[group], self._reads[group]
        asked = [TopicPartition(*each) for each in partitions if each[0] in reads]
        if not asked:
            return {}
        found = _read(
            _ask(
                lambda: _patiently(deadline_s)(
                    lambda: consumer.committed(asked, timeout=_left(deadline_s))
                )
            )
        )
        return {each: offset for each, offset in found.items() if offset >= 0}


def _onlooker(client: Mapping[str, str], group: str) -> KafkaConsumer:
    options: Any = dict(client) | {
        "group.id": group,
        "group.protocol": "consumer",
        "enable.auto.commit": False,
        "error_cb": lambda _: None,
        "log_level": 0,  # whoever asks hears of it
    }
    return KafkaConsumer(options)


def _left(deadline_s: float) -> float:
    return max(0.001, deadline_s - time.monotonic())


def _patiently(deadline_s: float) -> Retrying:
    """Right after its start a broker does not know yet which groups are its own."""
    return Retrying(
        retry=retry_if_exception(
            lambda error: (
                isinstance(error, KafkaException)
                and error.args[0].code() in _COORDINATOR_STARTS
            )
        ),
        stop=stop_after_delay(_left(deadline_s)),
        wait=wait_fixed(0.1),
        reraise=True,
    )


def _ask(call: Callable[[], T]) -> T:
    try:
        return call()
    except KafkaException as error:
        raise BrokerError(error.args[0].str(), retriable=True) from error


def _read(answers: Iterable[TopicPartition]) -> dict[Partition, int]:
    found: dict[Partition, int] = {}
    for answer in answers:
        if answer.error:
            raise BrokerError(answer.error.str(), retriable=True)
        found[answer.topic, answer.partition] = answer.offset
    return found


def ping(client: Mapping[str, str], timeout_s: float = 2) -> int:
    """Return the number of brokers that answer. BrokerError says why none does."""
    reasons: list[str] = []
    options: Any = dict(client) | {
        "error_cb": lambda error: reasons.append(error.str()),
        "log_level": 0,
    }
    admin = AdminClient(options)
    try:
        return len(admin.list_topics(timeout=timeout_s).brokers)
    except KafkaException as error:
        admin.poll(0)  # librdkafka's own word for it comes by callback alone
        if reasons:
            raise BrokerError(reasons[0], retriable=True) from error
        raise broker_error(error) from error
