"""The gate with a window where it can be held up, and four gates that are wrong.

All but the two steps in question, to take the lock and to read the stops, is the real `settle`. The window is a lock
that who flips the stops may close: then deliveries stand in it until it is opened. It stands between snapshot and lock.
"""

from typing import Any, ClassVar

import msgspec
import psycopg
from psycopg_pool import AsyncConnectionPool

from agents import postgres
from agents.host import conninfo
from agents.postgres import Database
from controlplane.chat.settle import _ENTER, _STOPS, BARRIER

WINDOW = 0x77696E64
_STAND = f"SELECT pg_advisory_xact_lock_shared({WINDOW})"
_LOCK = f"SELECT pg_advisory_xact_lock_shared({BARRIER})"
# OFFSET 0: the window comes first.
_STAND_AND_LOCK = f"{_LOCK} FROM ({_STAND} OFFSET 0) standing"
_LOCK_AND_READ = f"{_STOPS} AND ({_STAND_AND_LOCK}) IS NOT NULL"


class Design(msgspec.Struct, frozen=True):
    """The statements of a gate in the place of each of the two."""

    enter: tuple[str, ...]
    read: tuple[str, ...]
    isolation: psycopg.IsolationLevel | None = None


REAL = {
    "window before the lock": Design((_STAND, _ENTER), (_STOPS,)),
    "window in its statement": Design((_STAND_AND_LOCK, _ENTER), (_STOPS,)),
    "window after the lock": Design((_ENTER, _STAND), (_STOPS,)),
    "window after the read": Design((_ENTER,), (_STOPS, _STAND)),
}
WRONG = {
    "no lock": Design((), (_STOPS, _STAND)),
    "read, then lock": Design((), (_STOPS, _STAND, _LOCK)),
    "lock and read in one statement": Design((), (_LOCK_AND_READ,)),
    "repeatable read": Design(
        (_STAND, _ENTER), (_STOPS,), psycopg.IsolationLevel.REPEATABLE_READ
    ),
}


def slow(hold_s: float) -> Design:
    """Return the real gate on a slow network: it holds the barrier for so long in each delivery."""
    return Design((_ENTER, f"SELECT pg_sleep({hold_s})"), (_STOPS,))


class Changed(psycopg.AsyncConnection[Any]):
    """Runs its design's statements in the place of the gate's own two."""

    design: ClassVar[Design]

    async def execute(self, query: Any, params: Any = None, **options: Any) -> Any:
        steps = {_ENTER: self.design.enter, _STOPS: self.design.read}
        answer: Any = None
        for step in steps.get(query, (query,)):
            given = params if step == query else None
            cursor = await super().execute(step, given, **options)
            answer = cursor if step.startswith(query) else answer
        return answer


def gate(design: Design | None, *, size: int) -> Database:
    """Return connections of the gate; of the real one, without a window, if no design is given."""
    database = Database(conninfo(), max_size=size)
    if design is not None:
        database._pool = AsyncConnectionPool(
            conninfo(),
            min_size=1,
            max_size=size,
            timeout=5,
            open=False,
            connection_class=type("Designed", (Changed,), {"design": design}),
            configure=_configured(design),
            kwargs={"autocommit": True, "application_name": "interlock-agents"},
        )
    return database


def _configured(design: Design) -> Any:
    async def configure(connection: Any) -> None:
        await postgres._configure(connection)
        await connection.set_isolation_level(design.isolation)

    return configure
