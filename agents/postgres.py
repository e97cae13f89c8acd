"""Plain psycopg connections for the runtime: no ORM on the hot path."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from select import POLLIN, poll
from typing import Any

import psycopg
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from agents.agent import UnavailableError

Connection = psycopg.AsyncConnection[tuple[Any, ...]]


# A standby that refuses writes is away as well: it will be promoted, or gone.
_AWAY = (
    psycopg.OperationalError,
    psycopg.InterfaceError,
    psycopg.errors.ReadOnlySqlTransaction,
    psycopg.errors.IdleInTransactionSessionTimeout,
    PoolTimeout,
)


_BEYOND_LIMITS = "54"  # operational by class, yet the record's fault


# A frozen worker must let go of the rows that it locked in the middle of a transaction.
IDLE_IN_TRANSACTION = "5s"

# For so long the pool tries again by itself, later with each request for a connection. Its own
# pauses double: an outage of minutes would be followed by minutes without a try.
RECONNECT_S = 2.0


class Database:
    """A pool of connections on the runtime's event loop."""

    def __init__(self, conninfo: str, *, max_size: int = 8) -> None:
        self._pool = AsyncConnectionPool(
            conninfo,
            min_size=1,
            max_size=max_size,
            timeout=5,
            open=False,
            configure=_configure,
            reconnect_timeout=RECONNECT_S,
            kwargs={"autocommit": True, "application_name": "interlock-agents"},
        )

    async def open(self) -> None:
        await self._pool.open()

    async def close(self) -> None:
        await self._pool.close()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """Lend a connection. UnavailableError when PostgreSQL is away or was lost."""
        try:
            connection = await self._get()
            try:
                yield connection
            finally:
                await self._pool.putconn(connection)
        except _AWAY as error:
            if (getattr(error, "sqlstate", "") or "").startswith(_BEYOND_LIMITS):
                raise
            raise UnavailableError(f"PostgreSQL: {error}") from error

    async def _get(self) -> Connection:
        """A restart of PostgreSQL must not cost an error for each connection that was there."""
        while True:
            connection = await self._pool.getconn()
            if not _has_hung_up(connection):
                return connection
            await connection.close()
            await self._pool.putconn(connection)


@asynccontextmanager
async def in_two_trips(connection: Connection) -> AsyncIterator[None]:
    """Run a transaction that reads, then writes: BEGIN goes with the one, COMMIT with the other.

    What fails to be written or committed is raised at the end of the block.
    """
    async with connection.pipeline(), connection.transaction():
        yield


def plain(text: str) -> str:
    """Make visible what PostgreSQL text cannot hold: NUL becomes its symbol, half a pair `?`."""
    visible = text.replace("\x00", "\N{SYMBOL FOR NULL}")
    return visible.encode(errors="replace").decode()


def _has_hung_up(connection: Connection) -> bool:
    """Look, without asking, whether the server said anything: unasked, it says that it ends."""
    if connection.closed:
        return True
    looking = poll()
    looking.register(connection.fileno(), POLLIN)
    return bool(looking.poll(0))


async def _configure(connection: Connection) -> None:
    """Set up a connection of few statements, each run again and again on its indexes."""
    await connection.execute(
        f"SET idle_in_transaction_session_timeout = '{IDLE_IN_TRANSACTION}';"
        " SET plan_cache_mode = force_generic_plan; SET random_page_cost = 1.1"
    )
