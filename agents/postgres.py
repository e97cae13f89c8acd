"""Plain psycopg connections for the runtime: no ORM on the hot path."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
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
            async with self._pool.connection() as connection:
                yield connection
        except _AWAY as error:
            if (getattr(error, "sqlstate", "") or "").startswith(_BEYOND_LIMITS):
                raise
            raise UnavailableError(f"PostgreSQL: {error}") from error


def plain(text: str) -> str:
    """Make visible what PostgreSQL text cannot hold: NUL becomes its symbol, half a pair `?`."""
    visible = text.replace("\x00", "\N{SYMBOL FOR NULL}")
    return visible.encode(errors="replace").decode()


async def _configure(connection: Connection) -> None:
    await connection.execute(
        f"SET idle_in_transaction_session_timeout = '{IDLE_IN_TRANSACTION}'"
    )
