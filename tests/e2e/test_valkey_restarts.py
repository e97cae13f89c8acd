"""A worker outlives the restarts of its Valkey: tasks run and remote control answers after each."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from celery import Celery
from redis import Redis

from controlplane.embedded import valkey
from controlplane.embedded.processes import Child
from controlplane.embedded.services import Services
from tests.e2e.product import Process, Product
from tests.e2e.test_host import agents_of, ask
from tests.ports import own_port
from tests.waiting import wait_for

SWEEP = "chat.sweep_overdue_turns"
RESTARTS = 10


@pytest.fixture
def port() -> int:
    return own_port(6500)


@pytest.fixture
def own(port: int, tmp_path: Path) -> Iterator[Child]:
    """A Valkey that nobody else uses."""
    child = valkey.prepare(tmp_path / "valkey", port)
    child.start()
    yield child
    child.stop()


@pytest.fixture
def product(
    services: Services, own: Child, port: int, tmp_path: Path
) -> Iterator[Product]:
    made = Product(services.environment | {"REDIS_URL": valkey.url(port)}, tmp_path)
    made.prepare()
    yield made
    made.end()


@pytest.fixture
def worker(product: Product) -> Process:
    return product.start_worker("input-guard,relay")


def swept(product: Product) -> int:
    """Return how many sweeps the worker has begun."""
    return int(ask(product, "stats")["total"].get(SWEEP, 0))


def takes_tasks(product: Product) -> bool:
    """Tell whether the worker waits for tasks, so that the next restart hits it there."""
    with Redis.from_url(product.env["REDIS_URL"]) as client:
        return any(found["cmd"] == "brpop" for found in client.client_list())


@pytest.mark.long
def test_tasks_and_remote_control_work_after_ten_restarts_in_a_row(
    product: Product, worker: Process, own: Child
) -> None:
    for _ in range(RESTARTS):
        own.kill()
        own.start()
        wait_for(lambda: takes_tasks(product), timeout_s=20, what="it takes tasks")

    before = swept(product)
    with Celery(broker=product.env["REDIS_URL"]) as app:
        app.send_task(SWEEP)
    wait_for(lambda: swept(product) > before, timeout_s=10, what="the task ran")
    assert ask(product, "pause_agents", names=["input-guard"]) == {
        "ok": ["input-guard"]
    }
    assert agents_of(product)["input-guard"]["state"] == "held"
    assert ask(product, "resume_agents") == {"ok": ["input-guard"]}
    assert agents_of(product)["input-guard"]["state"] == "running"
    assert worker.is_running
