"""What the checker asks of PostgreSQL, and what who flips stops looks at meanwhile."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import psycopg

from agents.host import conninfo
from controlplane.chat.settle import BARRIER
from controlplane.stops.models import ListedTurn, Stop
from tests.stops.flips.checker import Answer, Facts, Flip, Snapshot
from tests.stops.flips.gates import WINDOW

# A row tells 32 bits of its transaction's number: all of it in a cluster that tests have made.
_ANSWERS = """
SELECT m.turn_id, m.xmin::text::bigint, (
  SELECT max(d.xmin::text::bigint) FROM moderation_approval a
  JOIN moderation_decision d ON d.approval_id = a.id
  WHERE a.turn_id = m.turn_id AND a.state IN ('approved', 'rejected'))
FROM chat_message m WHERE m.role = 'assistant' AND starts_with(m.turn_id, %s)
"""
_QUEUE = "SELECT turn_id FROM moderation_approval WHERE state = 'pending' AND starts_with(turn_id, %s)"
_UNDER_WAY = """
SELECT pid, xact_start FROM pg_stat_activity
WHERE xact_start IS NOT NULL AND application_name = 'interlock-agents' AND datname = current_database()
"""
_SETTLED = "SELECT coalesce(sum(latest_turn), 0) FROM chat_conversation"
_WAITING = """
SELECT count(*) FROM pg_locks
WHERE locktype = 'advisory' AND NOT granted AND objsubid = 1 AND classid = 0 AND objid = %s
"""


class Look:
    """A connection of one's own, beside that of Django. It may also close the gates' window."""

    def __init__(self) -> None:
        self._connection = psycopg.connect(conninfo(), autocommit=True)
        self._is_closed = False

    def close(self) -> None:
        self._connection.close()

    def snapshot(self) -> Snapshot:
        [(text,)] = self._ask("SELECT pg_current_snapshot()::text")
        return Snapshot.parse(str(text))

    def under_way(self) -> set[tuple[object, ...]]:
        """Return the gates' transactions that have not ended."""
        return set(self._ask(_UNDER_WAY))

    def settled(self) -> int:
        [(turns,)] = self._ask(_SETTLED)
        return int(str(turns))

    def in_window(self) -> int:
        return self._waiting(WINDOW)

    def proof_waits(self) -> bool:
        return self._waiting(BARRIER) > 0

    @contextmanager
    def closed_window(self) -> Iterator[None]:
        """Deliveries stand in the gates' window until it is opened, at the latest at the end."""
        self._ask("SELECT pg_advisory_lock(%s)", WINDOW)
        self._is_closed = True
        try:
            yield
        finally:
            self.open_window()

    def open_window(self) -> None:
        if self._is_closed:
            self._ask("SELECT pg_advisory_unlock(%s)", WINDOW)
        self._is_closed = False

    def facts(
        self, given: Iterable[str], flips: Iterable[Flip], *, name: str = ""
    ) -> Facts:
        """name: what the turns begin with that are asked for."""
        answers = self._connection.execute(_ANSWERS, [name]).fetchall()
        return Facts(
            given=frozenset(given),
            answers=tuple(
                Answer(turn=turn, transaction=number, decided=decided)
                for turn, number, decided in answers
            ),
            queue=tuple(str(turn) for (turn,) in self._ask(_QUEUE, name)),
            flips=tuple(flips),
        )

    def _waiting(self, lock: int) -> int:
        [(count,)] = self._ask(_WAITING, lock)
        return int(str(count))

    def _ask(self, statement: str, *parameters: object) -> list[tuple[object, ...]]:
        return self._connection.execute(statement.encode(), parameters).fetchall()


def flip_of(stop: Stop, *, seen: Snapshot, until: Snapshot) -> Flip:
    """Return what the product keeps of a stop, beside what we saw."""
    listed = stop.listed.filter(fate=ListedTurn.Fate.DELIVERED)
    return Flip(
        requested=Snapshot.parse(stop.requested_snapshot),
        proven=Snapshot.parse(stop.proven_snapshot),
        seen=seen,
        until=until,
        listed=frozenset(listed.values_list("turn_id", flat=True)),
    )
