"""What may start while a release is ramped: each record takes a slot, and PostgreSQL gives them out."""

import threading
from collections import deque
from collections.abc import Hashable, Iterable

import psycopg

from agents.clock import now_s
from agents.control_state import Ramp

DRAW_EVERY_S = 0.05
# Slots are drawn so far ahead, and count for so long: in any T seconds an agent starts at most
# per_s x (T + FRESH_S) + 1 records, however many workers it has.
AHEAD_S = 0.15
FRESH_S = 0.25

Connection = psycopg.Connection[tuple[object, ...]]
Key = tuple[str, str]  # of the release, of the agent

# One statement: a worker that is frozen in the middle of it holds up nobody.
_DRAW = """
WITH pace AS (
  SELECT id, now.at, greatest(next_at, now.at) AS start
  FROM stops_releasepace, (SELECT clock_timestamp() AS at) now
  WHERE stop_id = %(stop)s AND agent = %(agent)s FOR UPDATE OF stops_releasepace
), given AS (
  SELECT id, at, start, least(%(wanted)s, greatest(0, 1 + floor(
    (%(ahead_s)s - extract(epoch FROM start - at)) * %(per_s)s)))::int AS slots FROM pace
)
UPDATE stops_releasepace p
SET next_at = given.start + given.slots * make_interval(secs => 1 / %(per_s)s::float),
  drawn = p.drawn + given.slots,
  short_at = CASE WHEN given.slots < %(wanted)s THEN given.at ELSE p.short_at END
FROM given WHERE p.id = given.id
RETURNING given.slots, extract(epoch FROM given.start - given.at)::float
"""
_BEGIN = """
INSERT INTO stops_releasepace (stop_id, agent, next_at, drawn)
VALUES (%s, %s, clock_timestamp(), 0) ON CONFLICT DO NOTHING
"""


class Slots:
    """Those that this process has in hand. Agents take them; who follows control state draws more."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._in_hand: dict[Key, deque[float]] = {}  # from when on each may be used
        self._wanted: dict[Key, set[Hashable]] = {}  # which records found none

    def take(self, ramps: Iterable[Ramp], agent: str, record: Hashable) -> bool:
        """Take one of each ramp, or none, and ask for more."""
        keys = [(ramp.id, agent) for ramp in ramps]
        with self._lock:
            missing = [key for key in keys if not self._is_due(key)]
            for key in missing:
                self._wanted.setdefault(key, set()).add(record)
            if not missing:
                for key in keys:
                    self._in_hand[key].popleft()
        return not missing

    def _is_due(self, key: Key) -> bool:
        slots, at_s = self._in_hand.get(key), now_s()
        while slots and slots[0] < at_s - FRESH_S:
            slots.popleft()
        return bool(slots) and slots[0] <= at_s  # type: ignore[index]  # bool() says that it is one

    def draw(self, connection: Connection, ramps: Iterable[Ramp]) -> float:
        """Draw what was asked for; return how long to wait before the next time, in s."""
        known = {ramp.id: ramp for ramp in ramps}
        with self._lock:
            wanted, self._wanted = self._wanted, {}
            lacking = {
                key: len(records) - len(self._in_hand.get(key, ()))
                for key, records in wanted.items()
                if key[0] in known
            }
            for key in [key for key in self._in_hand if key[0] not in known]:
                del self._in_hand[key]
        for key, count in lacking.items():
            if count > 0:
                self._put(key, _draw(connection, known[key[0]], key[1], count))
        return DRAW_EVERY_S if known else float("inf")

    def _put(self, key: Key, slots: list[float]) -> None:
        with self._lock:
            self._in_hand.setdefault(key, deque()).extend(slots)


def _draw(connection: Connection, ramp: Ramp, agent: str, wanted: int) -> list[float]:
    """Return from when on each slot may be used, by this machine's clock."""
    row = connection.execute(
        _DRAW,
        {
            "stop": ramp.id,
            "agent": agent,
            "wanted": wanted,
            "ahead_s": AHEAD_S,
            "per_s": ramp.per_s,
        },
    ).fetchone()
    if row is None:  # the first who asks for this agent
        connection.execute(_BEGIN, [ramp.id, agent])
        return []
    count, in_s = row
    assert isinstance(count, int)
    assert isinstance(in_s, float)
    first_s = now_s() + in_s
    return [first_s + number / ramp.per_s for number in range(count)]
