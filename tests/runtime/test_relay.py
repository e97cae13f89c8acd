import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from secrets import token_hex
from typing import Any

import psycopg
import pytest
from django.conf import settings
from django.db import transaction

from agents import postgres
from agents.agent import UnavailableError
from agents.broker import BrokerError
from agents.host import conninfo
from agents.postgres import Database
from agents.publisher import Publisher
from agents.work import Outgoing
from controlplane.audit.models import Entry
from controlplane.embedded.services import Services
from controlplane.runtime import relay as relay_module
from controlplane.runtime import sinks
from controlplane.runtime.actions import enqueue, enqueue_bytes
from controlplane.runtime.models import OutboxRecord
from controlplane.runtime.relay import Relay
from tests.agents.stage import Note, Stage, envelope, ids, read, texts
from tests.loop_thread import LoopThread
from tests.waiting import wait_for


class Running:
    """A relay on a loop, with a pool and a publisher of its own."""

    def __init__(self, loop_thread: LoopThread) -> None:
        self._loop = loop_thread
        self.publisher = Publisher(settings.KAFKA)
        self.database = loop_thread.run(_open())
        self.relay = Relay(self.database, self.publisher)
        self._future: Future[None] = loop_thread.start(self.relay.run())

    def end(self) -> None:
        self._future.cancel()
        self._loop.run(_settle(self.database))
        self.publisher.close()


async def _open() -> Database:
    database = Database(conninfo(), max_size=2)
    await database.open()
    return database


async def _settle(database: Database) -> None:
    await database.close()


@pytest.fixture
def start(
    stage: Stage, loop_thread: LoopThread, transactional_db: None
) -> Iterator[Callable[[], Running]]:
    running: list[Running] = []

    def make() -> Running:
        running.append(Running(loop_thread))
        return running[-1]

    yield make
    for each in running:
        each.end()


def write(topic: str, *said: str, key: str = "k") -> list[str]:
    of = [envelope() for _ in said]
    with transaction.atomic():
        for text, each in zip(said, of, strict=True):
            enqueue(topic, key=key, data=Note(text=text), envelope=each)
    return [each.id for each in of]


def unmarked() -> int:
    return OutboxRecord.objects.filter(published_at=None).count()


def test_what_was_written_is_published_in_order_and_marked(
    stage: Stage, start: Callable[[], Running]
) -> None:
    topic = stage.topic("out")
    written = write(topic, "a", "b")
    running = start()
    wait_for(lambda: unmarked() == 0)

    written += write(topic, *map(str, range(relay_module.BATCH + 50)))

    wait_for(lambda: unmarked() == 0)
    assert ids(topic) == written
    assert texts(topic)[:3] == ["a", "b", "0"]
    assert [record.key for record in read(topic)][:1] == [b"k"]
    assert running.relay.published == len(written)
    status = running.relay.status()
    assert (status["state"], status["why"], status["done"]) == (
        "running",
        "leading",
        len(written),
    )


def test_bytes_of_any_kind_are_published_as_they_are(
    stage: Stage, start: Callable[[], Running]
) -> None:
    topic = stage.topic("out")
    headers = [("a", b"\x00\xff"), ("a", b""), ("b", "ü".encode())]
    with transaction.atomic():
        enqueue_bytes(topic, key=None, value=b"\xff\x00", headers=headers)
        enqueue_bytes(topic, key=b"\x00\xfe", value=b"", headers=[])
    start()

    wait_for(lambda: unmarked() == 0)

    assert [(r.key, r.value, r.headers) for r in read(topic)] == [
        (None, b"\xff\x00", headers),
        (b"\x00\xfe", b"", []),
    ]


def test_no_more_is_read_at_once_than_fits_and_one_record_always_does(
    stage: Stage, start: Callable[[], Running], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay_module, "BATCH_BYTES", 1_000)
    taken: list[int] = []
    take = relay_module._take

    async def count(connection: Any) -> list[tuple[Any, ...]]:
        rows = await take(connection)
        taken.append(len(rows))
        return rows

    monkeypatch.setattr(relay_module, "_take", count)
    topic = stage.topic("out")
    with transaction.atomic():
        for size in (600, 300, 5_000, 10, 10):
            enqueue_bytes(topic, key=b"k", value=b"x" * size, headers=[])
    start()

    wait_for(lambda: unmarked() == 0)

    assert [len(r.value) for r in read(topic)] == [600, 300, 5_000, 10, 10]
    assert [n for n in taken if n] == [2, 1, 2]


def test_a_row_is_published_at_its_notification_and_not_at_the_poll(
    stage: Stage, start: Callable[[], Running], monkeypatch: pytest.MonkeyPatch
) -> None:
    topic = stage.topic("out")
    running = start()
    wait_for(lambda: running.relay.state == "leading")
    monkeypatch.setattr(relay_module, "POLL_S", 60)
    write(topic, "wakes it from the short poll")
    wait_for(lambda: unmarked() == 0)

    write(topic, "b")

    wait_for(lambda: unmarked() == 0, timeout_s=5)


def test_a_row_that_is_rolled_back_is_never_published(
    stage: Stage, start: Callable[[], Running]
) -> None:
    topic = stage.topic("out")
    start()

    with transaction.atomic():
        enqueue(topic, key="k", data=Note(text="not this"), envelope=envelope())
        transaction.set_rollback(True)
    write(topic, "this")

    wait_for(lambda: texts(topic) == ["this"])


def test_a_row_is_marked_only_after_kafka_has_acknowledged_it(
    stage: Stage, start: Callable[[], Running], services: Services
) -> None:
    assert services.kafka is not None
    topic = stage.topic("out")
    running = start()
    write(topic, "before")
    wait_for(lambda: unmarked() == 0)

    services.kafka.nodes[0].freeze()
    try:
        write(topic, "while")
        wait_for(
            lambda: len(running.publisher._producer._producer) > 0, what="it was sent"
        )
        assert unmarked() == 1
    finally:
        services.kafka.nodes[0].thaw()

    wait_for(lambda: unmarked() == 0, timeout_s=20)
    assert texts(topic) == ["before", "while"]


def test_what_kafka_never_takes_is_marked_and_blocks_nothing_behind_it(
    stage: Stage, start: Callable[[], Running]
) -> None:
    narrow, topic = stage.topic("narrow", max_bytes=1_000), stage.topic("out")
    write(narrow, "x" * 20_000_000)  # refused at once
    write(narrow, token_hex(5_000))  # refused by the broker
    write(topic, "a")
    running = start()

    wait_for(lambda: running.relay.refused == 2)

    write(topic, "b")
    wait_for(lambda: unmarked() == 2)
    assert texts(topic) == ["a", "b"]
    failed = OutboxRecord.objects.filter(published_at=None, failed_at__isnull=False)
    assert all("large" in record.failure for record in failed)
    assert [
        (entry.actor, entry.subject, entry.trace_id, entry.detail)
        for entry in Entry.objects.filter(action="record_refused_by_kafka").order_by(
            "pk"
        )
    ] == [
        (
            "relay",
            f"outbox:{record.pk}",
            record.trace_id,
            {"topic": narrow, "reason": record.failure},
        )
        for record in failed.order_by("pk")
    ]
    assert all(len(record.trace_id) == 32 for record in failed)
    status = running.relay.status()
    assert (status["state"], status["done"], status["errors"]) == ("running", 2, 2)


def test_a_failure_that_may_pass_leaves_the_rows_unmarked_and_says_why(
    stage: Stage, start: Callable[[], Running], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(record: object, *, timeout_s: float) -> None:
        raise BrokerError("timed out", retriable=True)

    topic = stage.topic("out")
    running = start()
    with monkeypatch.context() as patched:
        patched.setattr(running.publisher, "publish", away)
        write(topic, "a")
        wait_for(lambda: running.relay.state == "waiting: timed out")
        assert OutboxRecord.objects.filter(published_at=None, failed_at=None).exists()
        assert running.relay.status()["state"] == "held"

    wait_for(lambda: unmarked() == 0)
    assert texts(topic) == ["a"]


def test_a_kafka_that_is_slow_does_not_cost_the_relay_its_transaction(
    stage: Stage, start: Callable[[], Running], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "IDLE_IN_TRANSACTION", "100ms")
    topic = stage.topic("out")
    running = start()
    publish = running.publisher.publish

    async def slow(record: Outgoing, *, timeout_s: float) -> None:
        await asyncio.sleep(0.5)
        await publish(record, timeout_s=timeout_s)

    monkeypatch.setattr(running.publisher, "publish", slow)
    write(topic, "a")

    wait_for(lambda: unmarked() == 0)
    assert texts(topic) == ["a"]
    assert running.relay.state == "leading"


def test_an_unconfirmed_batch_is_published_again_with_the_same_ids(
    stage: Stage, start: Callable[[], Running], monkeypatch: pytest.MonkeyPatch
) -> None:
    topic = stage.topic("out")
    monkeypatch.setattr(relay_module, "PUBLISH_TIMEOUT_S", 0)
    [written] = write(topic, "a")
    running = start()
    wait_for(lambda: running.relay.state.startswith("waiting"))

    monkeypatch.setattr(relay_module, "PUBLISH_TIMEOUT_S", 10)

    wait_for(lambda: unmarked() == 0)
    assert set(ids(topic)) == {written}


def test_a_second_relay_stands_by_and_takes_over_when_the_leaders_connection_dies(
    stage: Stage, start: Callable[[], Running]
) -> None:
    topic = stage.topic("out")
    first = start()
    wait_for(lambda: first.relay.state == "leading")
    second = start()
    wait_for(lambda: second.relay.state == "standing by")
    write(topic, "a")
    wait_for(lambda: first.relay.published == 1)
    assert second.relay.status()["state"] == "running"

    def kill_until_the_other_leads() -> bool:
        if second.relay.state == "leading":
            return True
        _kill_leader()
        return False

    wait_for(kill_until_the_other_leads, timeout_s=20)
    write(topic, "b")

    wait_for(lambda: unmarked() == 0)
    wait_for(lambda: texts(topic) == ["a", "b"])


def _kill_leader() -> None:
    with psycopg.connect(conninfo(), autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_locks "
            "WHERE locktype = 'advisory' AND objid = %s AND granted",
            [relay_module.LEADER],
        )


def test_a_relay_that_ends_gives_up_the_lead(
    stage: Stage, start: Callable[[], Running], loop_thread: LoopThread
) -> None:
    first = start()
    wait_for(lambda: first.relay.state == "leading")
    second = start()

    first._future.cancel()

    wait_for(lambda: second.relay.state == "leading")


def test_a_worker_builds_it_with_the_tools_of_its_runtime() -> None:
    class Tools:
        database = publisher = None

    assert isinstance(sinks.relay(Tools()), Relay)  # type: ignore[arg-type]


def test_without_a_database_it_waits(stage: Stage, loop_thread: LoopThread) -> None:
    class Away:
        def connection(self) -> Any:
            raise UnavailableError("PostgreSQL: away")

    relay = Relay(Away(), None)  # type: ignore[arg-type]
    future = loop_thread.start(relay.run())

    wait_for(lambda: relay.state == "waiting: PostgreSQL: away")
    future.cancel()
