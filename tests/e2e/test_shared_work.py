"""Workers that host the same agent share its partitions, and whoever comes back late adds nothing."""

import itertools
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from signal import SIGCONT, SIGSTOP
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from agents.topics import REQUESTS, TIERS, TOPICS
from controlplane.chat import tokens
from tests.e2e.product import Process, Product
from tests.e2e.test_crashes import all_but
from tests.soak import collect
from tests.soak.load import Load
from tests.waiting import wait_for

USERS, PER_S = 20, 15.0

pytestmark = [pytest.mark.timeout(240), pytest.mark.long]


@pytest.fixture
def load(product: Product) -> Iterator[Load]:
    """Users who ask when they are told to."""
    tiers = itertools.islice(itertools.cycle(TIERS), USERS)
    users = [tokens.issue(uuid4().hex, tier=tier) for tier in tiers]
    load = Load(users, [product.socket_url], uuid4().hex)
    load.start()
    yield load
    load.close()


@contextmanager
def another(product: Product, agents: str) -> Iterator[Process]:
    worker = product.start_worker(agents)
    try:
        yield worker
    finally:
        worker.end()


def hosted(product: Product, pid: int, agent: str) -> dict[str, Any]:
    """Return what a worker's heartbeat says of one of its agents."""
    [(agents,)] = product.sql(
        "SELECT agents FROM runtime_heartbeat WHERE pid = %s", pid
    )
    [found] = [each for each in agents if each["agent"] == agent]
    return dict(found)


def held(product: Product, recorder: Process) -> int:
    """Return how many partitions it has; 0 before its first heartbeat."""
    pid = recorder.pid
    known = product.sql("SELECT 1 FROM runtime_heartbeat WHERE pid = %s", pid)
    return int(hosted(product, pid, "recorder")["partitions"]) if known else 0


def usual_worker(product: Product) -> int:
    [pid] = [
        process.pid
        for process in product._processes
        if process.name == "worker" and process.is_running
    ]
    return pid


def partitions(product: Product, pids: list[int], agent: str) -> list[int]:
    return [hosted(product, pid, agent)["partitions"] for pid in pids]


def is_answered(product: Product, load: Load) -> bool:
    asked, accepted, answers = load.progress()
    return asked == accepted and answers == collect.answered(product, load.clients)


def test_a_second_worker_takes_its_share_while_the_first_goes_on(
    product: Product, load: Load
) -> None:
    first = usual_worker(product)
    every = sum(TOPICS[topic].partitions for topic in REQUESTS)
    assert partitions(product, [first], "responder") == [every]
    load.ask(seconds=5, turns_per_s=PER_S)

    with another(product, "responder") as second:
        pids = [first, second.pid]
        wait_for(
            lambda: partitions(product, pids, "responder") == [every / 2, every / 2],
            timeout_s=30,
        )
        before = [hosted(product, pid, "responder")["done"] for pid in pids]
        load.ask(seconds=3, turns_per_s=PER_S)
        wait_for(lambda: load.progress()[0] == 8 * PER_S, timeout_s=30)
        wait_for(lambda: is_answered(product, load), timeout_s=60)
        wait_for(
            lambda: all(
                hosted(product, pid, "responder")["done"] > done
                for pid, done in zip(pids, before, strict=True)
            ),
            what="both have worked",
        )
    assert usual_worker(product) == first
    wait_for(lambda: partitions(product, [first], "responder") == [every], timeout_s=30)


@contextmanager
def waiting_with_records(product: Product) -> Iterator[None]:
    """Make the recorder wait with the records that it has in hand."""
    with psycopg.connect(product.env["DATABASE_OWNER_URL"]) as owner:
        owner.execute("SELECT 1 FROM traces_recorderoffset FOR UPDATE")
        wait_for(
            lambda: product.sql("SELECT 1 FROM pg_locks WHERE NOT granted"),
            timeout_s=30,
            what="a recorder that waits",
        )
        yield


def is_recorded(product: Product) -> bool:
    at = collect.recorded(product)
    return all(at.get(where, 0) == end for where, end in collect.ends(product).items())


@pytest.fixture
def without_recorder(product: Product) -> Iterator[Product]:
    product.end_workers()
    product.start_worker(all_but("recorder"))
    yield product
    product.ensure_worker()


def test_a_recorder_that_comes_back_late_writes_nothing_twice(
    without_recorder: Product, load: Load
) -> None:
    """It is frozen with records in hand, for longer than its group waits for it."""
    product, every = without_recorder, sum(each.partitions for each in TOPICS.values())
    started = collect.ends(product)
    late = product.start_worker("recorder")
    load.ask(seconds=15, turns_per_s=PER_S)
    with waiting_with_records(product):
        late.signal(SIGSTOP)

    other = product.launch_worker("recorder")
    wait_for(lambda: held(product, other) == every, timeout_s=60, what="all taken over")
    late.signal(SIGCONT)
    wait_for(lambda: 0 < held(product, other) < every, timeout_s=60, what="a share")
    wait_for(lambda: load.progress()[0] == 15 * PER_S, timeout_s=60)
    wait_for(lambda: is_answered(product, load), timeout_s=60)
    wait_for(lambda: is_recorded(product), timeout_s=30)

    in_kafka = {
        record.at: record.sha256
        for record in collect.from_kafka(product)
        if record.at[2] >= started.get(record.at[:2], 0)
    }
    assert written(product, "traces_record", started) == Counter(in_kafka.items())
    assert written(product, "traces_payload", started) == Counter(in_kafka.items())
    assert len(in_kafka) > 15 * PER_S


def written(
    product: Product, table: str, since: dict[tuple[str, int], int]
) -> Counter[tuple[tuple[str, int, int], str]]:
    """Return the coordinates and hashes of all rows from these offsets on."""
    sha256 = {"traces_record": "value_sha256", "traces_payload": "sha256(value)"}[table]
    rows = product.sql(
        f"SELECT topic, partition, \"offset\", encode({sha256}, 'hex') FROM {table}"  # noqa: S608
    )
    return Counter(
        ((topic, partition, offset), sha256)
        for topic, partition, offset, sha256 in rows
        if offset >= since.get((topic, partition), 0)
    )
