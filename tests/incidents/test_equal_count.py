"""The report's list of whom a stop came too late for equals an independent count, in random incidents."""

import asyncio
import random
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import patch

import psycopg
import pytest
from django.conf import settings

from agents import reader, registry, topics
from agents.admin import Admin
from agents.broker import Producer
from agents.host import conninfo
from agents.postgres import Database, in_two_trips
from agents.records import Record
from controlplane.chat import settle, settle_writes
from controlplane.chat.settle_writes import Limits
from controlplane.chat.turns import Fact
from controlplane.incidents.lines import Line, all_lines
from controlplane.incidents.reached import Query, reached, totals_of, window_of
from controlplane.stops import actions
from controlplane.stops.models import Stop
from controlplane.traces import sinks
from tests.chat.making import commit, decide, in_a_thread, rows
from tests.guardrails.factories import make_masker
from tests.incidents.counted import Count
from tests.incidents.making import BACKENDS, OUTSIDER, PHRASES, RULES, Making, Turn

pytestmark = pytest.mark.django_db(transaction=True)

SCOPES = (
    ("everything", ""),
    ("workflow", "chat"),
    ("agent", "input-guard"),
    ("agent", "responder"),
    *(("tier", tier) for tier in topics.TIERS),
    ("conversation", ""),
)
Reached = list[tuple[str, str]]


class Incident:
    """A stop, when the bad replies began, and what was committed between its request and its proof."""

    def __init__(self, stop: Stop, since: datetime, committed: set[str]) -> None:
        self.stop, self.since, self.committed = stop, since, committed


class Scene:
    """Plays incidents one after another: what belongs to the others is in the way of each."""

    def __init__(self, seed: int, runner: asyncio.Runner, database: Database) -> None:
        self.random = random.Random(seed)  # noqa: S311
        self.making = Making(seed)
        self._turns: dict[str, Turn] = {}
        self._runner, self._database = runner, database

    def play(self) -> Incident:
        self._settle(self._new(4))
        since = datetime.now(UTC)
        self._settle(self._new(4))
        stop, committed = self._stop()
        if self.random.random() < 0.9:
            actions.prove_stop(stop, prover="ada")
        self._settle(self._new(3) + self._decided(3))
        actions.release_stop(stop, reason="over", releaser="ada")
        stop.refresh_from_db()
        return Incident(stop, since, committed)

    def _stop(self) -> tuple[Stop, set[str]]:
        """Half of the hard ones come while replies are being settled, by a gate whose clock is ahead."""
        scope, value = self.random.choice(SCOPES)
        if scope == "conversation":
            value, _ = self.making.conversation()
        is_hard = scope == "conversation" or self.random.random() < 0.7
        order = {"mode": "hard" if is_hard else "soft", "scope": scope, "value": value}
        if is_hard and self.random.random() < 0.6:
            return self._runner.run(self._overtaken(order, self._new(4)))
        stop = actions.request_stop(**order, reason="drill", requester="ada")
        self._settle(self._new(3))
        return stop, set()

    async def _overtaken(
        self, order: dict[str, str], facts: Sequence[Fact]
    ) -> tuple[Stop, set[str]]:
        """Do what settle() does, with a stop between its look at stops and its commit."""
        names = sorted({fact.conversation_id for fact in facts})
        async with self._database.connection() as connection, in_two_trips(connection):
            settlement = await settle._read(
                connection, names, facts, registry.upstream()
            )
            for fact in facts:
                settlement.apply(fact)
            plan = settlement.release()
            stop = await in_a_thread(
                lambda: actions.request_stop(**order, reason="drill", requester="ada")
            )
            with patch.object(settle_writes, "datetime", Ahead):
                await settle_writes.write(
                    connection, plan, actor="gate", limits=Limits()
                )
        return stop, {
            line.turn_id for line in plan.messages if line.role == "assistant"
        }

    def _new(self, count: int) -> list[Fact]:
        made = [self.making.turn() for _ in range(count)]
        self._turns |= {turn.id: turn for turn in made}
        return [fact for turn in made for fact in turn.facts]

    def _decided(self, count: int) -> list[Fact]:
        """Let a moderator decide on some of what waits."""
        waiting = self._runner.run(rows(self._database, _PENDING))
        chosen = self.random.sample(waiting, min(count, len(waiting)))
        return [self._decide(*row) for row in chosen]

    def _decide(self, turn: str, parent: str, held: str) -> Fact:
        state, text = self.random.choice(
            [("approved", held), ("rejected", ""), ("rejected", self.making.text())]
        )
        approval = self._runner.run(
            decide(self._database, turn, state=state, text=text)
        )
        return self.making.decided(
            self._turns[turn], approval, parent=parent, state=state, text=text
        )

    def _settle(self, facts: Sequence[Fact]) -> None:
        self._runner.run(commit(self._database, *facts))


class Ahead(datetime):
    """The clock of a machine that is five minutes ahead."""

    @classmethod
    def now(cls, tz: Any = None) -> "Ahead":
        return super().now(tz) + timedelta(minutes=5)


_PENDING = """
SELECT turn_id, record_id, text FROM moderation_approval WHERE state = 'pending' ORDER BY turn_id
"""


def test_the_list_of_whom_it_reached_equals_an_independent_count(
    kafka_topics: None,
) -> None:
    seed = random.getrandbits(32)
    print(f"seed {seed}")  # noqa: T201  # shown when it fails
    compare(seed, incidents=20)


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", range(10))
def test_it_does_in_five_hundred_others(kafka_topics: None, seed: int) -> None:
    compare(seed, incidents=50)


def compare(seed: int, *, incidents: int) -> None:
    with asyncio.Runner() as runner:
        database = Database(conninfo(), max_size=4)
        runner.run(database.open())
        scene = Scene(seed, runner, database)
        played = [scene.play() for _ in range(incidents)]
        records = through_kafka(scene.making.records)
        runner.run(index(database, records))
        runner.run(database.close())
    count = Count(records)
    sizes = [look(incident, count, scene.random) for incident in played]
    assert sum(size > 0 for size in sizes) > incidents / 2
    assert sum(bool(incident.committed) for incident in played) > incidents / 10


def look(incident: Incident, count: Count, chance: random.Random) -> int:
    """Compare the report with the count, for each filter; return how many replies there were."""
    sizes = [
        agree(incident, count, asked)
        for asked in (
            {},
            {"rule": chance.choice(RULES)},
            {"phrase": chance.choice(PHRASES)},
            {"agent": chance.choice(["input-guard", "responder", OUTSIDER])},
            {"backend": chance.choice(BACKENDS), "rule": chance.choice(RULES)},
            {"since": incident.since},
            {"since": incident.since, "until": incident.stop.releasing_at}
            | {"phrase": chance.choice(PHRASES)},
        )
    ]
    return sum(sizes)


def agree(incident: Incident, count: Count, asked: dict[str, Any]) -> int:
    stop, query = incident.stop, Query(**asked)
    now = datetime.now(UTC)
    window = window_of(stop, query, now)
    expected = count.reached(vars(stop), asked | {"now": now}, incident.committed)

    found = reached(stop, query, window)
    listed = list(found.values_list("conversation", "turn"))

    assert sorted(listed) == expected, f"{stop}: {asked}"
    if listed:  # a report that leaves one out is found out
        fewer = found.exclude(turn=listed[0][1]).values_list("conversation", "turn")
        assert sorted(fewer) != expected
    if query.phrase:  # few, so that they can be looked at one by one
        assert_described(list(all_lines(found)), count)
        totals = totals_of(stop, query, window)
        assert totals.replies == len(expected)
        assert totals.conversations == len({name for name, _ in expected})
    return len(expected)


def assert_described(lines: Sequence[Line], count: Count) -> None:
    heard = {each.turn: each for each in count.heard}
    for line in lines:
        told = heard[line.turn]
        assert (line.at, line.text, line.tier) == (told.at, told.text, told.tier)
        assert (line.rules, line.backends) == (
            sorted(told.rules),
            sorted(told.backends),
        )
        assert line.agent == told.source


def through_kafka(records: Sequence[Record]) -> list[Record]:
    """Write them all, and read the topics once from their start."""
    failures: list[Exception | None] = []
    producer = Producer(settings.KAFKA)
    for record in records:
        producer.publish(
            record.topic,
            key=record.key,
            value=record.value,
            headers=record.headers,
            delivered=failures.append,
        )
    assert producer.flush(30) == 0
    assert set(failures) == {None}
    written = {(record.key, record.value) for record in records}
    read = [each for each in all_records() if (each.key, each.value) in written]
    assert len(read) == len(records)
    return read


def all_records() -> Iterator[Record]:
    names = {record for record in topics.TOPICS if record != topics.DEAD_LETTERS}
    seen = Admin(settings.KAFKA, {"interlock.counting": ()}).positions(
        topics=names, watched="", window_s=0, timeout_s=10
    )
    return reader.read(
        settings.KAFKA,
        {each: (seen.starts[each], end) for each, end in seen.ends.items()},
    )


async def index(database: Database, records: Sequence[Record]) -> None:
    """Let the recorder write them."""
    with psycopg.connect(conninfo()) as outside:
        for partition in sorted({(each.topic, each.partition) for each in records}):
            sinks._start(outside, partition)
    async with database.connection() as connection, connection.transaction():
        assert await sinks.record(connection, records, masker=make_masker()) == len(
            records
        )
