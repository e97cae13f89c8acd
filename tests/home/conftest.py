"""Services that are what a test says they are."""

from collections.abc import Callable

import pytest

from controlplane.home.services import watch
from tests.home.making import all_up

Down = Callable[..., None]


@pytest.fixture
def services_down(monkeypatch: pytest.MonkeyPatch) -> Down:
    """All services answer, except for those that the test names."""

    def fake(*down: str) -> None:
        monkeypatch.setattr(watch, "read", lambda: all_up(*down))

    fake()
    return fake
