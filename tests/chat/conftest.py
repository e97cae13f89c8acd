"""A pool of connections, and what a web process keeps open, closed at the end of each test."""

from collections.abc import AsyncIterator

import pytest
from django.conf import settings

from agents import control
from agents.host import conninfo
from agents.postgres import Database
from agents.topic_setup import ensure_topics
from agents.topics import TOPICS
from controlplane.chat.resources import Resources, close_resources, resources
from controlplane.embedded.services import Services


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


@pytest.fixture(scope="session")
def kafka_topics(services: Services) -> None:
    """The topics, once in a session."""
    ensure_topics(settings.KAFKA, TOPICS.values(), create=True)
