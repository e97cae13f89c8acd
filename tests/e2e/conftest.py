"""The product, started once for all tests that use it from outside."""

from collections.abc import Callable, Iterator
from uuid import uuid4

import pytest

from controlplane.chat import tokens
from controlplane.embedded.services import Services
from tests.conftest import RUN_DIR
from tests.e2e.product import Product, running
from tests.e2e.widget import Widget


@pytest.fixture(scope="session")
def website(services: Services) -> Iterator[Product]:
    """The product without workers, wholly on services that are given by URL."""
    with running(Product(services.environment, RUN_DIR / "product")) as started:
        started.prepare()
        started.start_web()
        yield started


@pytest.fixture(scope="module")
def product(website: Product) -> Product:
    """Site and one worker for everything."""
    website.ensure_worker()
    return website


@pytest.fixture(scope="module")
def workerless(website: Product) -> Iterator[Product]:
    """The site; the workers that somebody starts end with the file."""
    website.end_workers()
    yield website
    website.end_workers()


@pytest.fixture
def widget(product: Product) -> Iterator[Callable[..., Widget]]:
    """Open widgets of users; each test has its own unless it names one."""
    opened: list[Widget] = []

    def open_widget(tier: str = "free", user: str = "", after: int = 0) -> Widget:
        token = tokens.issue(user or uuid4().hex, tier=tier)
        opened.append(Widget(product.socket_url, token, after=after))
        return opened[-1]

    yield open_widget
    for each in opened:
        each.close()
