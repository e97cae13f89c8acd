"""Tells a restored database what Kafka knows of the time after its backup.

Gate and intake have committed offsets that are newer than the database, so no worker would read
those records again. Here they are applied once more, in the order of the log, by the same rules;
nothing is pushed, and nobody's socket is there. What follows is numbered after all of it.
"""

import asyncio
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from django.conf import settings
from django.db.models import Q

from agents import reader, registry, topics
from agents.admin import Admin, Positions
from agents.agent import Event
from agents.events import ControlChange, DecidedResponse, SendMail, UserMessage
from agents.host import conninfo
from agents.lags import group_of, reads
from agents.postgres import Database
from agents.records import Partition, Record
from agents.work import UnreadableError, read_event
from controlplane.backups import actions
from controlplane.backups.corrections import take_over_correction
from controlplane.backups.models import Position
from controlplane.chat.facts import fact_of, failed
from controlplane.chat.models import Turn
from controlplane.chat.settle import settle
from controlplane.chat.sinks import limits
from controlplane.chat.sweeper import REASON
from controlplane.chat.turns import Fact
from controlplane.effects import actions as effects
from controlplane.effects.sinks import row_of
from controlplane.runtime.models import ControlVersion
from controlplane.stops.models import Stop

SINKS = ("gate", "intake", "mail-intake")
KAFKA_TIMEOUT_S = 10.0
BATCH = 100
EVERY = 5_000  # records between two words about progress
SWEPT = timedelta(seconds=10)  # so long after its deadline a turn has certainly failed

Report = Callable[[str], None]

_DECIDED = {topics.RESPONSES_APPROVED, topics.RESPONSES_REJECTED}
_FIRST = (topics.CONTROL_HISTORY, topics.USER_RAW)  # of records of one millisecond


class Caught(msgspec.Struct):
    """What was found. is_whole: Kafka still has everything since the backup."""

    is_whole: bool = True
    records: int = 0
    unreadable: int = 0
    decisions: int = 0
    corrections: int = 0
    stops: int = 0
    mails: int = 0  # of which nobody here knows whether they went out
    version: int = 0
    lost_changes: list[str] = []
    conversations: set[str] = set()
    wanting_a_person: set[str] = set()  # turns


def committed() -> dict[Partition, int]:
    """Ask Kafka how far gate and intakes have come. BrokerError."""
    found = _look().committed
    return {
        partition: offset
        for offsets in found.values()
        for partition, offset in offsets.items()
    }


def catch_up(report: Report) -> Caught:
    """Apply all of it. Doing it again changes nothing but the numbers that come next."""
    found = Caught(version=ControlVersion.objects.get(pk=1).version)
    found.mails = effects.distrust_all(actor=actions.RESTORE)
    records = _sorted(_ranges(found), report)
    with asyncio.Runner() as runner:
        database = Database(conninfo(), max_size=1)
        runner.run(database.open())
        try:
            replay = Replay(runner, database, found)
            for number, record in enumerate(records, start=1):
                replay.apply(record)
                if number % EVERY == 0:
                    report(f"{number:,} of {len(records):,} records applied")
            replay.flush()
        finally:
            runner.run(database.close())
    actions.mark_wanting_a_person(found.wanting_a_person)
    actions.skip_seqs(found.conversations if found.is_whole else None)
    return found


def _look() -> Positions:
    groups = {group_of(name): reads()[name] for name in SINKS}
    wanted = [topic for each in groups.values() for topic in each]
    return Admin(settings.KAFKA, groups).positions(
        topics=[*wanted, topics.CONTROL_HISTORY],
        watched="",
        window_s=0,
        timeout_s=KAFKA_TIMEOUT_S,
    )


def _ranges(found: Caught) -> dict[Partition, tuple[int, int]]:
    """Return from where to where each partition is read; all of it where nothing is known."""
    seen = _look()
    noted = {
        (each.topic, each.partition): each.next_offset
        for each in Position.objects.all()
    }
    ranges = {}
    for partition, end in seen.ends.items():
        start, known = seen.starts[partition], noted.get(partition, 0)
        is_there = start <= known <= end
        if partition[0] != topics.CONTROL_HISTORY:
            found.is_whole &= is_there
        ranges[partition] = (known if is_there else start, end)
    return ranges


def _sorted(ranges: dict[Partition, tuple[int, int]], report: Report) -> list[Record]:
    """Read all of it, and put the topics' records in one order: that of Kafka's clock."""
    total = sum(end - start for start, end in ranges.values())
    records = []
    for record in reader.read(settings.KAFKA, ranges):
        records.append(record)
        if len(records) % EVERY == 0:
            report(f"{len(records):,} of at most {total:,} records read")
    return sorted(records, key=_order)


def _order(record: Record) -> tuple[int, bool, bool, str, int, int]:
    return (
        record.timestamp_ms,
        record.topic not in _FIRST,
        record.topic in _DECIDED,
        record.topic,
        record.partition,
        record.offset,
    )


class Replay:
    """Applies one record after the other. Of one conversation each is settled by itself."""

    def __init__(
        self, runner: asyncio.Runner, database: Database, found: Caught
    ) -> None:
        self._runner = runner
        self._database = database
        self._found = found
        self._known_version = found.version
        self._decoders = {
            name: msgspec.json.Decoder(topic.contract)
            for name, topic in topics.TOPICS.items()
            if topic.contract is not None
        }
        self._waiting: dict[str, list[Fact]] = {}
        self._deadlines = dict(_deadlines())
        # The sweeper lets turns be while a soft stop is in force.
        self._is_swept = not Stop.objects.not_over().filter(mode="soft").exists()

    def apply(self, record: Record) -> None:
        try:
            event: Event[Any] = read_event(record, self._decoders)
        except UnreadableError:  # its agent has put it to the dead letters
            self._found.unreadable += 1
            return
        if isinstance(event.data, ControlChange):
            self._follow(event.data, _at(record))
        elif isinstance(event.data, SendMail):
            self._found.mails += effects.take_over(row_of(event), actor=actions.RESTORE)
        else:
            self._found.records += 1
            self._add(event)

    def flush(self) -> None:
        facts = [fact for each in self._waiting.values() for fact in each]
        self._found.conversations |= self._waiting.keys()
        self._waiting.clear()
        if facts:
            self._runner.run(self._settle(facts))

    async def _settle(self, facts: list[Fact]) -> None:
        await settle(
            self._database,
            facts,
            actor=actions.RESTORE,
            limits=limits(),
            upstream=registry.upstream(),
        )

    def _add(self, event: Event[Any]) -> None:
        fact = fact_of(event)
        if fact.conversation_id in self._waiting or len(self._waiting) >= BATCH:
            self.flush()
        if event.record.topic in _DECIDED:
            self.flush()  # what was held must be there
            fact = self._decided(fact, event)
        self._waiting[fact.conversation_id] = [*self._too_late(event, fact), fact]

    def _decided(self, fact: Fact, event: "Event[DecidedResponse]") -> Fact:
        if event.data.correction is not None:
            self._found.corrections += take_over_correction(event)
            return fact
        approval = actions.take_over_decision(
            event.data,
            topic=event.record.topic,
            at=_at(event.record),
            trace_id=event.envelope.trace_id,
        )
        if approval is None:
            return fact
        self._found.decisions += 1
        return msgspec.structs.replace(fact, approval_id=approval)

    def _too_late(self, event: Event[Any], fact: Fact) -> Iterator[Fact]:
        """Say that the turn had failed, if its answer came after the sweeper."""
        at = _at(event.record)
        if isinstance(event.data, UserMessage):
            whole = timedelta(seconds=settings.TURN_DEADLINE_S)
            self._deadlines[fact.turn_id] = at + whole
            if event.data.wants_person:
                self._found.wanting_a_person.add(fact.turn_id)
        elif fact.kind in {"reply", "hold"} and self._is_swept:
            deadline = self._deadlines.get(fact.turn_id)
            if deadline is not None and at > deadline + SWEPT:
                yield failed(
                    fact.turn_id,
                    fact.conversation_id,
                    record_id=f"sweeper:{fact.turn_id}",
                    reason=REASON,
                )

    def _follow(self, change: ControlChange, at: datetime) -> None:
        """Take over stops; of other changes people are told, so that they make them again."""
        self._found.version = max(self._found.version, change.version)
        if change.version <= self._known_version:
            return
        self.flush()
        if actions.take_over_stop(change, at=at):
            self._found.stops += 1
            self._is_swept &= change.detail.get("mode") != "soft"
        else:
            self._found.lost_changes.append(
                f"{change.kind} {change.subject}, by {change.actor}: {change.reason}"
            )


def _deadlines() -> Iterator[tuple[str, datetime]]:
    """Return the deadlines of the turns that were open at the backup."""
    is_open = Q(outcomes=None) | Q(outcomes__state="open")
    yield from Turn.objects.filter(is_open).values_list("pk", "deadline_at")


def _at(record: Record) -> datetime:
    return datetime.fromtimestamp(record.timestamp_ms / 1000, UTC)
