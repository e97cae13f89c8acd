"""A gate that freezes in the middle of its transaction, when its answer is written but not committed.

python -m tests.stops.flips.frozen_gate TURN CONVERSATION
"""

import asyncio
import os
import signal
import sys
from typing import Any

import django
import psycopg
from psycopg_pool import AsyncConnectionPool
from tenacity import AsyncRetrying, retry_if_exception_type, wait_fixed


class Freezing(psycopg.AsyncConnection[Any]):
    """Freezes its process once."""

    has_frozen = False

    async def execute(
        self, query: Any, params: Any = None, **options: Any
    ) -> psycopg.AsyncCursor[Any]:
        cursor = await super().execute(query, params, **options)
        if "INSERT INTO chat_message" in query and not Freezing.has_frozen:
            assert await cursor.fetchone() is not None  # PostgreSQL has it
            Freezing.has_frozen = True
            os.kill(os.getpid(), signal.SIGSTOP)
        return cursor


async def deliver(turn: str, conversation: str) -> None:
    """Try again after a failure, as a runner does."""
    from agents.agent import UnavailableError  # noqa: PLC0415  # they need Django set up
    from agents.host import conninfo  # noqa: PLC0415
    from agents.postgres import Database  # noqa: PLC0415
    from tests.chat.making import commit, reply  # noqa: PLC0415

    database = Database("")
    database._pool = AsyncConnectionPool(
        conninfo(),
        open=False,
        connection_class=Freezing,
        kwargs={"autocommit": True, "application_name": "interlock-agents"},
    )
    await database.open()
    async for attempt in AsyncRetrying(
        retry=retry_if_exception_type(UnavailableError), wait=wait_fixed(0.1)
    ):
        with attempt:
            await commit(database, reply(turn, conversation))
    await database.close()


if __name__ == "__main__":
    django.setup()
    asyncio.run(deliver(*sys.argv[1:]))
