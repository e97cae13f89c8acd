"""The loop between Kafka and one agent: consume, handle, publish, commit. Knows no agent."""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import structlog

from agents import topics
from agents.agent import Agent, Context, Send
from agents.batch_execution import BatchExecutor
from agents.broker import BrokerError, Consumer
from agents.control import Control
from agents.control_state import ControlState
from agents.execution import Executor, InlineExecutor, KeyedExecutor
from agents.ledger import Ledger
from agents.metrics import RECORDS
from agents.outlet import Outlet
from agents.records import Partition, Record
from agents.watchdog import Watchdog
from agents.work import (
    ContractError,
    UnreadableError,
    Work,
    dead_letter,
    decoders_for,
    outgoing,
    read_event,
)

log = structlog.get_logger()

POLL_S = 0.1
COMMIT_EVERY_S = 0.5
REVOKE_WAIT_S = 2.0
# With leaving the group and the end of the process it must be done within 10 s.
DRAIN_S = 5.0
COMMIT_S = 1.0
# From here on partitions over their share are paused; the others may still fill theirs,
# so twice as much is the most there is.
MAX_WAITING = 1_000
MAX_SPAN = (
    10_000  # what is done behind one slow record waits for it, and repeats after a kill
)
FAILURES_IN_ROW = 20
RAMPED = "a release is ramped"


class Runner:
    """One consumer, one producer, one agent. step() does one round and never blocks over 1 s."""

    def __init__(
        self,
        agent: Agent,
        *,
        client: Mapping[str, str],
        control: Control,
        context: Callable[[], Context],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self.agent = agent
        self.context = context
        self.paused = ""  # why people or the runner itself paused it
        self.errors = 0
        self.done = 0
        self._control = control
        self._obeys = control.state
        self._is_fetching = False
        self._decoders = decoders_for(agent)
        self._ledgers: dict[Partition, Ledger] = {}
        self._committed: dict[Partition, int] = {}
        self._committed_at_s = 0.0
        self._counters = {
            (topic, outcome): RECORDS.labels(agent.name, topic, outcome)
            for topic in agent.reads
            for outcome in ("ok", "dead_letter")
        }
        self._failures_in_row = 0
        self._flow_paused: set[Partition] = set()
        self._outlet = Outlet(client, agent=agent.name, hopeless=self._bury)
        self._executor = _executor(self, loop)
        self._consumer = Consumer(
            client,
            group=f"interlock.{agent.name}",
            topics=agent.reads,
            rebalance=self,
            linger_s=agent.linger_s,
        )
        self._watchdog = Watchdog(agent.name, self._consumer)

    @property
    def broken(self) -> str:
        """Return why it ended for good, if it did."""
        return self._outlet.broken

    # One round

    def step(self) -> bool:
        """Do one round; return whether there was anything to do.

        What was asked of an older control state, and started, was so in the rounds before.
        """
        self._obeys = self._control.state
        told = self._outlet.serve()
        self._control_flow()
        wait_s = 0.0 if told else POLL_S
        records = self._fetch(wait_s)
        if records:
            self._executor.add(self._admit(records))
        self._advance()
        self._commit_finished()
        self._watchdog.look(self._idle)
        return bool(records or told)

    def _fetch(self, wait_s: float) -> list[Record]:
        self._is_fetching = True
        records = self._consumer.fetch(self.agent.batch_size, wait_s)
        self._obeys = self._control.state  # what it said while it fetched stays true
        self._is_fetching = False
        return records

    @property
    def obeys(self) -> ControlState:
        """Return the state than which no older one starts anything here any more. For who follows it.

        What is fetched asks afterwards, and nothing starts meanwhile.
        """
        return self._control.state if self._is_fetching else self._obeys

    def _advance(self) -> None:
        executor = self._executor
        if not isinstance(executor, InlineExecutor):
            executor.advance()
            return
        self._outlet.cork()
        executor.advance()
        self._outlet.uncork()
        executor.pass_on()

    def _admit(self, records: list[Record]) -> list[Work]:
        works = []
        for record in records:
            ledger = self._ledgers[record.topic, record.partition]
            ledger.begin(record.offset)
            works.append(self._read(record, ledger))
        return works

    def _read(self, record: Record, ledger: Ledger) -> Work:
        if self.agent.handle_records is not None or record.topic not in self._decoders:
            return Work(record, ledger, None)
        try:
            return Work(record, ledger, read_event(record, self._decoders))
        except UnreadableError as error:
            return Work(record, ledger, None, error)

    def _control_flow(self) -> None:
        """Pause fetching what holds its share while enough waits; what a stop holds stops no other.

        Polling goes on, so membership stays.
        """
        span = sum(ledger.span for ledger in self._ledgers.values())
        is_full = self._executor.size >= MAX_WAITING or span >= MAX_SPAN
        if is_full and (more := self._over(1.0) - self._flow_paused):
            self._consumer.pause(more)
            self._flow_paused |= more
        if self._flow_paused and (less := self._flow_paused - self._over(0.5)):
            self._consumer.resume(less)
            self._flow_paused -= less

    def _over(self, part: float) -> set[Partition]:
        """Return the partitions that hold at least this part of their share."""
        share = part / max(1, len(self._ledgers))
        return {
            partition
            for partition, ledger in self._ledgers.items()
            if ledger.in_flight >= MAX_WAITING * share
            or ledger.span >= MAX_SPAN * share
        }

    # What executors ask and tell (Desk); some of it comes from the loop's thread

    def why_not(self, work: Work) -> str:
        if self.paused or self.broken:
            return self.paused or self.broken
        if self.agent.is_sink:
            return ""
        about = self.agent.name, self.agent.workflow, work.tier
        return self._control.why_not(*about) or self._why_not_yet(work, *about)

    def _why_not_yet(self, work: Work, agent: str, workflow: str, tier: str) -> str:
        """A slot is the work's own until it starts, however often it is asked for."""
        if not self._control.state.ramps:
            return ""
        work.has_slot = work.has_slot or self._control.has_slot(
            agent, workflow, tier, work.record.coordinates
        )
        return "" if work.has_slot else RAMPED

    def succeeded(self, work: Work, sends: Iterable[Send]) -> None:
        try:
            records = outgoing(self.agent, work.event, sends) if work.event else []
        except ContractError as error:
            self.failed(work, error, 1)
            return
        self._failures_in_row = 0
        self._count(work, "ok")
        work.expect(len(records))
        self._outlet.send(work, records)

    def failed(self, work: Work, error: Exception, attempts: int) -> None:
        """Send the whole record to the dead letters; too many in a row pause the agent."""
        work.expect(1)
        self._bury(work, error, attempts)

    def _bury(self, work: Work, error: Exception, attempts: int) -> None:
        log.warning(
            "record_failed",
            agent=self.agent.name,
            record=work.record.coordinates,
            reason=repr(error),
            exc_info=not isinstance(error, UnreadableError) and error,
        )
        self.errors += 1
        self._count(work, "dead_letter")
        self._count_failure(error)
        if work.record.topic == topics.DEAD_LETTERS:  # there it is, and there it stays
            work.acknowledged()
            return
        letter = dead_letter(
            work.record,
            agent=self.agent.name,
            reason=f"{type(error).__name__}: {error}",
            attempts=attempts,
        )
        self._outlet.send_letter(work, letter)

    def _count_failure(self, error: Exception) -> None:
        self._failures_in_row += 1
        if self._failures_in_row >= FAILURES_IN_ROW:
            self._failures_in_row = 0
            self.paused = f"{FAILURES_IN_ROW} records in a row failed: {error!r}"[:500]

    def _count(self, work: Work, outcome: str) -> None:
        self.done += 1
        self._counters[work.record.topic, outcome].inc()

    # Offsets and partitions

    def _commit_finished(self, *, wait: bool = False) -> None:
        now_s = time.monotonic()
        if not wait and now_s - self._committed_at_s < COMMIT_EVERY_S:
            return
        self._committed_at_s = now_s
        offsets = {
            partition: offset
            for partition, ledger in self._ledgers.items()
            if (offset := ledger.next_offset()) is not None
            and offset != self._committed.get(partition)
        }
        if not offsets:
            return
        try:
            self._consumer.commit(offsets, wait=wait)
        except BrokerError as error:
            log.warning("commit_failed", agent=self.agent.name, reason=str(error))
        else:
            self._committed |= offsets

    def assigned(self, partitions: list[Partition]) -> Mapping[Partition, int]:
        ask = self.agent.start_offsets
        starts = ask(partitions) if ask is not None else {}
        for partition in partitions:
            self._ledgers[partition] = Ledger(starts.get(partition))
            self._committed.pop(partition, None)
            self._flow_paused.discard(partition)
        return starts

    def revoked(self, partitions: list[Partition]) -> None:
        self._let_go(partitions, REVOKE_WAIT_S)

    def not_committed(self, partitions: list[Partition]) -> None:
        """Kafka refused a commit: say it again with the next one."""
        for partition in partitions:
            self._committed.pop(partition, None)

    def _let_go(self, partitions: list[Partition], timeout_s: float) -> None:
        """Finish and commit what runs, within a bounded time, and forget the partitions."""
        self._finish(partitions, timeout_s)
        self._commit_finished(wait=True)
        self._forget(partitions)

    def _finish(self, partitions: list[Partition], timeout_s: float) -> None:
        """Stop feeding, and wait a bounded time for what runs."""
        ledgers = [self._ledgers[p] for p in partitions if p in self._ledgers]
        for ledger in ledgers:
            ledger.revoked = True
        self._wait_for(ledgers, timeout_s)

    def _forget(self, partitions: list[Partition]) -> None:
        for partition in partitions:
            self._ledgers.pop(partition, None)
            self._committed.pop(partition, None)
            self._flow_paused.discard(partition)

    def _wait_for(self, ledgers: list[Ledger], timeout_s: float) -> None:
        """Serve acknowledgements until what was begun is done; what only waits is dropped."""
        deadline_s = time.monotonic() + timeout_s
        while any(ledger.running for ledger in ledgers):
            if time.monotonic() > deadline_s:
                return
            self._outlet.serve(0.01)

    def drain(self) -> None:
        """End: start nothing more, finish what runs, commit, leave the group."""
        self.paused = self.paused or "stopping"
        partitions = list(self._ledgers)
        try:
            self._finish(partitions, DRAIN_S)
            self._committed_at_s = float("-inf")  # now, whenever it did so last
            self._commit_finished()
            self._forget(partitions)
            self._consumer.await_commits(COMMIT_S)
        finally:
            self._consumer.close()

    # What the heartbeat says

    def _idle(self) -> dict[Partition, int | None]:
        """Return the next offsets of partitions of which nothing is under way, though it may be."""
        return {
            partition: ledger.position()
            for partition, ledger in self._ledgers.items()
            if partition not in self._flow_paused and not ledger.in_flight
        }

    def status(self) -> dict[str, Any]:
        """Return the figures of this moment. Safe from any thread."""
        ledgers = dict(self._ledgers)
        held = self.broken or self.paused or self._executor.held
        return {
            "agent": self.agent.name,
            "state": "broken" if self.broken else "held" if held else "running",
            "why": held,
            "in_flight": sum(ledger.in_flight for ledger in ledgers.values()),
            "done": self.done,
            "errors": self.errors,
            "partitions": len(ledgers),
        }


def _executor(runner: Runner, loop: asyncio.AbstractEventLoop) -> Executor:
    agent = runner.agent
    if agent.handle is not None:
        aside = KeyedExecutor(runner, loop) if agent.waits is not None else None
        return InlineExecutor(runner, aside)
    if agent.handle_async is not None:
        return KeyedExecutor(runner, loop)
    return BatchExecutor(runner, loop)
