"""What the site tells of a worker that dies, and of what waits for the next one."""

from collections.abc import Callable, Iterator
from signal import SIGKILL

import pytest
from prometheus_client.parser import text_string_to_metric_families

from agents.topics import USER_RAW
from tests.e2e.product import Product, running
from tests.e2e.widget import Widget
from tests.waiting import wait_for


@pytest.fixture
def site(product: Product) -> Iterator[Product]:
    """Another site on the same services, which calls the first record of lag wrong."""
    strict = product.env | {"INTERLOCK_ALERT_LAG_RECORDS": "0"}
    with running(Product(strict, product.logs)) as started:
        started.start_web()
        yield started


@pytest.fixture(scope="module")
def product(workerless: Product) -> Product:
    return workerless


def told(site: Product, name: str, **labels: str) -> float | None:
    status, text = site.get("/metrics")
    assert status == 200, text
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == name and sample.labels == labels:
                return float(sample.value)
    return None


@pytest.mark.long  # a group waits for who was killed
def test_a_worker_that_is_killed_and_what_it_left_behind(
    product: Product, site: Product, widget: Callable[..., Widget]
) -> None:
    def lag() -> float | None:
        return told(site, "kafka_consumer_lag", agent="input-guard", topic=USER_RAW)

    def is_wrong() -> float | None:
        return told(site, "interlock_alert_active", alert="lag")

    user = widget()
    worker = product.start_worker()
    wait_for(lambda: is_wrong() == 0, timeout_s=30)
    before = told(site, "interlock_worker_restarts")
    assert before is not None

    worker.signal(SIGKILL)
    assert worker.wait() == -SIGKILL
    client_id, _ = user.ask("Does the E-Class come as an estate?")
    wait_for(lambda: lag() == 1 and is_wrong() == 1, what="the lag of a group of none")
    product.start_worker()

    user.answer(client_id, timeout_s=60)
    wait_for(lambda: lag() == 0 and is_wrong() == 0, timeout_s=30)
    wait_for(lambda: told(site, "interlock_worker_restarts") == before + 1)
