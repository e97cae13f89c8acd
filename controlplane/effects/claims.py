"""The gate of what leaves the product: a sender claims an effect, begins it, and says how it ended.

Claiming and beginning hold the barrier of hard stops shared, and read the stops in a later statement,
so in a later snapshot. Nothing here talks to anybody but PostgreSQL.
"""

from datetime import datetime

import msgspec

from agents.postgres import Connection
from controlplane.chat.settle import BARRIER
from controlplane.effects import statements
from controlplane.effects.states import State, origins

LEASE_S = 120  # longer than a server may take over one mail
GAVE_UP_AFTER_S = 6 * 3600  # of refusals that may pass
PAUSE_S, MAX_DOUBLINGS = 30, 7  # between two tries: from half a minute to an hour


class Claim(msgspec.Struct, frozen=True):
    """A mail that is ours to send. Who claims it again has another attempt."""

    id: int
    attempt: int
    record_id: str
    recipient: str
    subject: str
    text: str
    created_at: datetime


async def look(connection: Connection, *, at_most: int) -> int:
    """Hold what is stopped, free what the dead had claimed; return how many may be sent now."""
    for statement in (statements.HOLD_SOME, statements.EXPIRE):
        await connection.execute(statement, {"actor": "mailer"})
    cursor = await connection.execute(statements.READY, [at_most])
    row = await cursor.fetchone()
    return int(row[0]) if row else 0


async def claim(connection: Connection, *, sender: str) -> Claim | None:
    """Take the mail that has waited longest and that no hard stop covers."""
    async with connection.transaction():
        await connection.execute(statements.ENTER, [BARRIER])
        cursor = await connection.execute(
            statements.TAKE, {"sender": sender, "lease_s": LEASE_S}
        )
        row = await cursor.fetchone()
    return Claim(*row) if row else None


async def begin(connection: Connection, mail: Claim) -> bool:
    """Say that from now on it may be out; return whether we may go on.

    Not if a stop covers it by now, or somebody else has it. A proof waits for what has begun.
    """
    async with connection.transaction():
        await connection.execute(statements.ENTER, [BARRIER])
        cursor = await connection.execute(
            statements.BEGIN,
            {"id": mail.id, "attempt": mail.attempt, "lease_s": LEASE_S},
        )
        row = await cursor.fetchone()
    return row is not None


async def finish(
    connection: Connection, mail: Claim, state: State, error: str = ""
) -> State | None:
    """Write down what became of the attempt; return the state, or nothing if it no longer counts.

    waiting: it is certain that nothing went out; with an error it is tried again later.
    """
    given = {
        "id": mail.id,
        "attempt": mail.attempt,
        "state": state,
        "error": error,
        "origins": origins("sender", state),
        "actor": "mailer",
        "gave_up_s": GAVE_UP_AFTER_S,
        "pause_s": PAUSE_S,
        "doublings": MAX_DOUBLINGS,
    }
    cursor = await connection.execute(statements.FINISH, given)
    row = await cursor.fetchone()
    if row is None:
        late = statements.LATE if state == "sent" else statements.NOTE
        await connection.execute(late, given)
    return row[0] if row else None
