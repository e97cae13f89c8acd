"""A settlement that dies at any statement leaves everything or nothing."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg_pool import AsyncConnectionPool

from agents.agent import UnavailableError
from agents.host import conninfo
from agents.postgres import Database
from tests.chat.making import (
    commit,
    decided,
    hold,
    opened,
    reply,
    rows,
    states_of,
    transcript_of,
)

pytestmark = pytest.mark.django_db(transaction=True)

FACTS = (
    opened("t1"),
    reply("t1"),
    opened("t2"),
    hold("t2"),
    reply("t1", record_id="again"),
    decided("approved", str(UUID(int=0)), "t2"),  # which nobody took
)
STATEMENTS = (
    "pg_advisory_xact_lock_shared",
    "FROM stops_stop",
    "FOR UPDATE",
    "FROM chat_turn",
    "INSERT INTO chat_conversation",
    "JOIN moderation_decision",
    "INSERT INTO chat_outcome",  # one statement for all that is written
)


class DyingCursor(psycopg.AsyncCursor[Any]):
    """Its backend is terminated just before the statement that holds `victim`."""

    victim = ""
    killer: Database

    async def execute(self, query: Any, *args: Any, **options: Any) -> Any:
        await self.die_before(query)
        return await super().execute(query, *args, **options)

    async def die_before(self, query: Any) -> None:
        if self.victim in str(query):
            pid = self.connection.info.backend_pid
            await rows(self.killer, "SELECT pg_terminate_backend(%s, 5000)", [pid])


@asynccontextmanager
async def dying(victim: str, killer: Database) -> AsyncIterator[Database]:
    cursor = type("Doomed", (DyingCursor,), {"victim": victim, "killer": killer})
    doomed = Database("")
    doomed._pool = AsyncConnectionPool(
        conninfo(),
        min_size=1,
        max_size=1,
        open=False,
        timeout=5,
        kwargs={"autocommit": True, "cursor_factory": cursor},
    )
    await doomed.open()
    yield doomed
    await doomed.close()


@pytest.mark.parametrize("victim", STATEMENTS)
async def test_a_lost_connection_leaves_nothing_behind(
    database: Database, victim: str
) -> None:
    async with dying(victim, database) as doomed:
        with pytest.raises(UnavailableError):
            await commit(doomed, *FACTS)

    assert await rows(
        database,
        "SELECT (SELECT count(*) FROM chat_conversation), (SELECT count(*) FROM chat_turn), "
        "(SELECT count(*) FROM chat_outcome), (SELECT count(*) FROM chat_message), "
        "(SELECT count(*) FROM moderation_approval), (SELECT count(*) FROM chat_duplicate), "
        "(SELECT count(*) FROM audit_entry)",
    ) == [(0, 0, 0, 0, 0, 0, 0)]


async def test_the_next_try_writes_it_once(database: Database) -> None:
    async with dying("INSERT INTO chat_outcome", database) as doomed:
        with pytest.raises(UnavailableError):
            await commit(doomed, *FACTS)

    await commit(database, *FACTS)

    assert await transcript_of(database) == [
        "1 user question t1",
        "2 user question t2",
        "3 assistant answer t1",
    ]
    assert await states_of(database) == {"t1": "delivered", "t2": "held"}
    assert await rows(database, "SELECT action FROM audit_entry ORDER BY action") == [
        ("record_refused",),
        ("reply_delivered",),
        ("reply_held",),
    ]
