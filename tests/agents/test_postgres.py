"""What counts as PostgreSQL being away, and what is a fault of the statement."""

from collections.abc import AsyncIterator

import psycopg
import pytest

from agents.agent import UnavailableError
from agents.postgres import Database
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


async def test_a_value_beyond_a_limit_is_not(database: Database) -> None:
    with pytest.raises(psycopg.errors.TooManyColumns):
        async with database.connection() as connection:
            await connection.execute(f"SELECT {'1,' * 2_000}1")


async def test_a_statement_that_is_wrong_is_not(database: Database) -> None:
    with pytest.raises(psycopg.errors.UndefinedTable):
        async with database.connection() as connection:
            await connection.execute("SELECT * FROM no_such_table")
