"""What counts as PostgreSQL being away, and what is a fault of the statement."""

import asyncio
from collections.abc import AsyncIterator

import psycopg
import pytest

from agents import postgres
from agents.agent import UnavailableError
from agents.postgres import Connection, Database
from controlplane.embedded.services import Services


@pytest.fixture
async def database(services: Services) -> AsyncIterator[Database]:
    opened = Database(services.environment["DATABASE_URL"])
    await opened.open()
    yield opened
    await opened.close()


async def write_where_it_is_refused(database: Database) -> None:
    async with database.connection() as connection, connection.transaction():
        await connection.execute("SET TRANSACTION READ ONLY")
        await connection.execute("SELECT lo_create(0)")  # any write


async def test_a_standby_that_refuses_writes_is_away(database: Database) -> None:
    with pytest.raises(UnavailableError, match="read-only"):
        await write_where_it_is_refused(database)


async def test_a_backend_that_is_ended_is_away(database: Database) -> None:
    with pytest.raises(UnavailableError):
        async with database.connection() as connection:
            await connection.execute("SELECT pg_terminate_backend(pg_backend_pid())")


async def test_a_restart_of_the_server_costs_those_who_come_after_it_nothing(
    database: Database, services: Services
) -> None:
    async with database.connection() as one, database.connection() as another:
        pids = [one.info.backend_pid, another.info.backend_pid]
    async with await psycopg.AsyncConnection.connect(
        services.environment["DATABASE_URL"], autocommit=True
    ) as ending:
        await ending.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM unnest(%s::int[]) AS pid",
            [pids],
        )

    for _ in pids:
        async with database.connection() as connection:
            await connection.execute("SELECT 1")


async def test_a_transaction_in_which_nothing_happens_is_ended_and_lets_go(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "IDLE_IN_TRANSACTION", "100ms")
    database = Database(services.environment["DATABASE_URL"])
    await database.open()
    frees: list[bool] = []
    try:
        with pytest.raises(UnavailableError):
            await freeze(database, frees)
    finally:
        await database.close()

    assert frees == [False, True]


async def freeze(database: Database, frees: list[bool]) -> None:
    """Take a lock and do nothing; tell whether others could have it, before and after."""
    async with database.connection() as frozen, frozen.transaction():
        await frozen.execute("SELECT pg_advisory_xact_lock(4711)")
        async with database.connection() as other:
            frees.append(await is_free(other))
            await asyncio.sleep(0.5)
            frees.append(await is_free(other))
        await frozen.execute("SELECT 1")


async def is_free(connection: Connection) -> bool:
    cursor = await connection.execute("SELECT pg_try_advisory_xact_lock(4711)")
    row = await cursor.fetchone()
    return bool(row and row[0])


async def test_the_pool_s_connections_are_idle_in_a_transaction_for_5_s_at_most(
    database: Database,
) -> None:
    async with database.connection() as connection:
        cursor = await connection.execute("SHOW idle_in_transaction_session_timeout")
        assert await cursor.fetchone() == ("5s",)


async def test_a_value_beyond_a_limit_is_not(database: Database) -> None:
    with pytest.raises(psycopg.errors.TooManyColumns):
        async with database.connection() as connection:
            await connection.execute(f"SELECT {'1,' * 2_000}1")


async def test_a_statement_that_is_wrong_is_not(database: Database) -> None:
    with pytest.raises(psycopg.errors.UndefinedTable):
        async with database.connection() as connection:
            await connection.execute("SELECT * FROM no_such_table")
