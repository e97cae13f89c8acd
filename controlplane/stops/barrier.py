"""What holds the barrier of a hard stop, and what came through before it was closed."""

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from django.db import connection
from django.db.models import F, QuerySet

from controlplane import locks
from controlplane.chat.models import Turn
from controlplane.chat.settle import AT_WORK, BARRIER

END_WAIT_MS = 1_000


class Met(NamedTuple):
    """A turn that a stop met."""

    turn_id: str
    conversation_id: str
    trace_id: str


class Holder(NamedTuple):
    """A transaction of a delivery."""

    pid: int
    began_at: datetime
    conversations: list[str]

    @property
    def transaction(self) -> tuple[int, datetime]:
        return self.pid, self.began_at


# Those of this database: locks are told of the whole server.
_HOLDERS = """
SELECT a.pid, a.xact_start, array(
  SELECT c.id FROM pg_locks w JOIN chat_conversation c ON hashtext(c.id) = w.objid::bigint::bit(32)::int
  WHERE w.pid = a.pid AND w.database = b.database AND w.locktype = 'advisory' AND w.objsubid = 2 AND w.classid = %(at_work)s)
FROM pg_locks b JOIN pg_stat_activity a ON a.pid = b.pid
WHERE b.locktype = 'advisory' AND b.objsubid = 1 AND b.classid = 0 AND b.objid = %(barrier)s
  AND b.database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND b.granted AND b.mode = 'ShareLock'
"""
# The lock that every delivery holds shared: from now on nothing that began before commits.
_CLOSE = """
SELECT pg_advisory_xact_lock(%(barrier)s);
UPDATE stops_stop SET proven_snapshot = pg_current_snapshot()::text
WHERE id = %(stop)s AND proven_snapshot = ''
"""
# A snapshot has 64 bits of a transaction's number, a row has 32: the rest is that of now, or one less.
_DELIVERED = """
SELECT t.id, t.conversation_id, e.trace_id
FROM audit_entry e
CROSS JOIN LATERAL (SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS next) x
CROSS JOIN LATERAL (SELECT x.next - ((x.next - e.xmin::text::bigint) & 4294967295) AS whole) n
JOIN chat_turn t ON t.id = substr(e.subject, 6)
WHERE e.action IN ('reply_delivered', 'correction_delivered') AND e.at > %(since)s
  AND NOT pg_visible_in_snapshot(n.whole::text::xid8, %(requested)s::pg_snapshot)
  AND pg_visible_in_snapshot(n.whole::text::xid8, %(proven)s::pg_snapshot)
ORDER BY e.id
"""


def holders() -> list[Holder]:
    """Return the deliveries that are under way, and the conversations that they lock."""
    with connection.cursor() as cursor:
        cursor.execute(_HOLDERS, {"at_work": AT_WORK, "barrier": BARRIER})
        return [Holder(*row) for row in cursor.fetchall()]


def end(holder: Holder) -> bool:
    """End its connection; return whether it is gone. What it had not committed never is."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s, %s)", [holder.pid, END_WAIT_MS])
        return bool(cursor.fetchone()[0])


def close(stop_id: UUID, *, wait_ms: int) -> None:
    """Pass the barrier once, and keep what is committed by then. LockTimeoutError.

    As a transaction of its own: what waits behind it waits for no more than this.
    """
    given: dict[str, int | str] = {"barrier": BARRIER, "stop": str(stop_id)}
    locks.run(_CLOSE, given, lock_timeout_ms=wait_ms)


def unsettled(turns: QuerySet[Turn], conversations: Iterable[str]) -> list[Met]:
    """Return those of the turns that are in these conversations and not settled yet."""
    waiting = turns.filter(
        conversation__in=conversations, number__gt=F("conversation__passed_turn")
    )
    found = waiting.order_by("created_at", "pk")
    return [Met(*row) for row in found.values_list("pk", "conversation_id", "trace_id")]


def delivered(*, requested: str, proven: str, since: datetime) -> list[Met]:
    """Return what was committed after one snapshot and before the other, in that order.

    since: a time well before both, by any clock of ours.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            _DELIVERED, {"requested": requested, "proven": proven, "since": since}
        )
        return [Met(*row) for row in cursor.fetchall()]
