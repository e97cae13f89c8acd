"""A pool of connections, and what a web process keeps open, closed at the end of each test."""

from collections.abc import AsyncIterator

import pytest

from agents import control
from agents.host import conninfo
from agents.postgres import Database
from controlplane.chat.resources import Resources, close_resources, resources


@pytest.fixture
async def database() -> AsyncIterator[Database]:
    pool = Database(conninfo(), max_size=16)
    await pool.open()
    yield pool
    await pool.close()


@pytest.fixture
async def kept(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Resources]:
    """This loop's resources, opened for the test and closed after it."""
    monkeypatch.setattr(control, "POLL_S", 0.1)  # its thread is waited for at the end
    yield await resources()
    await close_resources()
