"""No delivery of an old epoch commits after a hard stop is proven; bad designs leak here."""

import asyncio
from typing import Any, Literal

import psycopg
import pytest
from asgiref.sync import sync_to_async
from psycopg_pool import AsyncConnectionPool

from agents.host import conninfo
from agents.postgres import Database
from controlplane.chat.settle import BARRIER
from controlplane.stops import actions
from tests.chat.making import commit, opened, reply, rows
from tests.factories import make_admin

pytestmark = pytest.mark.django_db(transaction=True)

Design = Literal["lock, then read", "read, then lock", "no lock"]
LOCK = "SELECT pg_advisory_xact_lock_shared(%s)"
WIDEN = "SELECT pg_sleep(0.4)"
GATES = 6


class Gate(psycopg.AsyncConnection[Any]):
    """A connection whose settlement sleeps where its design has a window."""

    design: Design = "lock, then read"

    async def execute(self, query: Any, *args: Any, **options: Any) -> Any:
        is_lock, is_read = (
            "pg_advisory_xact_lock_shared" in query,
            "FROM stops_stop" in query,
        )
        if is_lock and self.design == "lock, then read":
            result = await super().execute(query, *args, **options)
            await super().execute(WIDEN)
            return result
        if is_lock:
            return None  # later, or never
        result = await super().execute(query, *args, **options)
        if is_read and self.design != "lock, then read":
            await super().execute(WIDEN)
            if self.design == "read, then lock":
                await super().execute(LOCK, [BARRIER])
        return result


async def gate(design: Design) -> Database:
    database = Database("")
    database._pool = AsyncConnectionPool(
        conninfo(),
        min_size=1,
        max_size=1,
        open=False,
        connection_class=type("Widened", (Gate,), {"design": design}),
        kwargs={"autocommit": True, "application_name": "widened-gate"},
    )
    await database.open()
    return database


async def leaked(database: Database, design: Design) -> int:
    """Stop while a gate is in its window; return what it delivered after the proof."""
    widened = await gate(design)
    try:
        await commit(database, opened())
        admin = await sync_to_async(make_admin)()
        delivering = asyncio.create_task(commit(widened, reply()))
        await in_window(database)
        stop = await sync_to_async(actions.request_stop)(
            mode="hard", scope="everything", reason="drill", requester=admin
        )
        await sync_to_async(actions.prove_stop)(stop, prover=admin)
        before = await delivered(database)
        await delivering
        return await delivered(database) - before
    finally:
        await widened.close()


async def in_window(database: Database) -> None:
    """Wait until the gate's backend sleeps in its window."""
    async with asyncio.timeout(5):
        while not await rows(
            database,
            "SELECT 1 FROM pg_stat_activity WHERE application_name = 'widened-gate' "
            "AND wait_event = 'PgSleep'",
        ):
            await asyncio.sleep(0.005)


async def delivered(database: Database) -> int:
    [[count]] = await rows(
        database, "SELECT count(*) FROM chat_message WHERE role = 'assistant'"
    )
    return int(count)


async def test_the_gate_delivers_nothing_after_the_proof(database: Database) -> None:
    assert await leaked(database, "lock, then read") == 0


@pytest.mark.parametrize("design", ["read, then lock", "no lock"])
async def test_a_gate_that_reads_stops_before_it_locks_leaks(
    database: Database, design: Design
) -> None:
    assert await leaked(database, design) == 1


async def test_busy_gates_deliver_nothing_unapproved_after_the_proof(
    database: Database,
) -> None:
    admin = await sync_to_async(make_admin)()
    for flip in range(5):
        stopping = asyncio.Event()
        gates = [
            asyncio.create_task(keep_delivering(database, f"{flip}-{n}", stopping))
            for n in range(GATES)
        ]
        await for_each_gate(database, "delivered", flip)
        stop = await sync_to_async(actions.request_stop)(
            mode="hard", scope="everything", reason="drill", requester=admin
        )
        await sync_to_async(actions.prove_stop)(stop, prover=admin)
        before = await delivered(database)
        await for_each_gate(database, "held", flip)
        stopping.set()
        await asyncio.gather(*gates)
        assert await delivered(database) == before
        await sync_to_async(actions.release_stop)(stop, reason="over", releaser=admin)


async def for_each_gate(database: Database, state: str, flip: int) -> None:
    """Wait until each has a turn in that state."""
    async with asyncio.timeout(20):
        while await conversations_with(database, state, flip) < GATES:
            await asyncio.sleep(0.005)


async def conversations_with(database: Database, state: str, flip: int) -> int:
    [[count]] = await rows(
        database,
        "SELECT count(DISTINCT t.conversation_id) FROM chat_turn t JOIN chat_outcome o "
        "ON o.turn_id = t.id WHERE o.state = %s AND starts_with(t.conversation_id, %s)",
        [state, f"c-{flip}-"],
    )
    return int(count)


async def keep_delivering(
    database: Database, name: str, stopping: asyncio.Event
) -> None:
    number = 0
    while not stopping.is_set():
        number += 1
        turn = f"t-{name}-{number}"
        await commit(database, opened(turn, f"c-{name}"), reply(turn, f"c-{name}"))
