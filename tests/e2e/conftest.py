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
def product(services: Services) -> Iterator[Product]:
    """Site and worker, wholly on services that are given by URL."""
    with running(Product(services.environment, RUN_DIR / "product")) as started:
        started.prepare()
        started.start_web()
        started.start_worker()
        yield started


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
