"""Finds a partition that has records and gives none: librdkafka may leave one paused for ever.

See github.com/confluentinc/librdkafka/issues/5591.
"""

import time
from collections.abc import Callable, Mapping
from typing import Protocol

import structlog

from agents.broker import BrokerError
from agents.records import Partition

log = structlog.get_logger()

LOOK_EVERY_S = 5.0
ASK_S = 0.5  # the poll thread waits for it
BLIND_LOOKS = 3


class StuckError(Exception):
    """Pausing and resuming did not help, or Kafka answers every client but this: only a new one helps."""


class Log(Protocol):
    """What the watchdog asks of Kafka and its client."""

    def ends(
        self, partitions: list[Partition], timeout_s: float
    ) -> dict[Partition, int]: ...

    def starts(
        self, partitions: list[Partition], timeout_s: float
    ) -> dict[Partition, int]: ...

    def has_record(
        self, partition: Partition, offset: int, timeout_s: float
    ) -> bool: ...

    def others_see(self, partitions: list[Partition], timeout_s: float) -> bool: ...

    def nudge(self, partitions: list[Partition]) -> None: ...


class Watchdog:
    """Looks now and then at partitions from which nothing is under way."""

    def __init__(
        self, agent: str, kafka: Log, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._agent = agent
        self._log = kafka
        self._clock = clock
        self._looked_at_s = clock()
        self._blind = 0  # looks in a row
        self._behind: dict[Partition, int] = {}  # since the last look, and where
        self._nudged: dict[Partition, int] = {}
        self._without: dict[Partition, int] = {}  # ends before which there is no record

    def look(self, idle: Callable[[], Mapping[Partition, int | None]]) -> None:
        """idle(): the next offsets of partitions that should be read, None before the first record.

        Raises StuckError.
        """
        if self._clock() - self._looked_at_s < LOOK_EVERY_S:
            return
        partitions = idle()
        try:
            self._compare(partitions)
        except BrokerError as error:
            log.info("watchdog_saw_nothing", agent=self._agent, reason=str(error))
            self._blind += 1
            if self._blind >= BLIND_LOOKS:
                self._doubt(list(partitions), str(error))
        else:
            self._blind = 0
        finally:  # a look may take long, and what it nudged gets its time
            self._looked_at_s = self._clock()

    def _compare(self, idle: Mapping[Partition, int | None]) -> None:
        ends = self._log.ends(list(idle), ASK_S) if idle else {}
        behind = {
            partition: offset
            for partition, offset in self._known(idle).items()
            if offset < ends.get(partition, 0)
        }
        for partition, offset in behind.items():
            if self._behind.get(partition) == offset:
                self._mend(partition, offset, ends[partition])
        self._behind = behind
        if unknown := idle.keys() - ends.keys():
            raise BrokerError(f"no end of {sorted(unknown)}", retriable=True)

    def _doubt(self, partitions: list[Partition], reason: str) -> None:
        """After a restart of Kafka a client may keep metadata in which its partitions are missing."""
        if self._log.others_see(partitions, ASK_S):
            raise StuckError(f"Kafka answers others: {reason}")

    def _known(self, idle: Mapping[Partition, int | None]) -> dict[Partition, int]:
        unread = [partition for partition, offset in idle.items() if offset is None]
        starts = self._log.starts(unread, ASK_S) if unread else {}
        return starts | {
            partition: offset
            for partition, offset in idle.items()
            if offset is not None
        }

    def _mend(self, partition: Partition, offset: int, end: int) -> None:
        """A nudge costs nothing. A new client does: only where there is a record to be had.

        Markers of transactions take offsets too. Whether it is one of them is asked by a client
        of its own, which a busy Kafka may not answer in time.
        """
        if self._without.get(partition) == end:
            return
        stuck = f"{partition[0]}/{partition[1]}@{offset}"
        if self._nudged.get(partition) != offset:
            self._nudged[partition] = offset
            log.warning("partition_stands_still", agent=self._agent, partition=stuck)
            self._log.nudge([partition])
        elif self._log.has_record(partition, offset, ASK_S):
            raise StuckError(stuck)
        else:
            self._without[partition] = end
            del self._nudged[partition]  # what comes behind them is a case of its own
