"""What had gone out before a hard stop and no widget has said that it has."""

from datetime import timedelta

from django.db import connection
from django.db.models.expressions import RawSQL

from controlplane.stops.barrier import Met
from controlplane.stops.models import Stop

LOOKS_BACK = timedelta(hours=24)
MOST = 10_000  # the newest: a user's side that never says what it has leaves many

# A snapshot has 64 bits of a transaction's number, a row has 32: see barrier.py. OFFSET 0: each line
# looks up its own turn and cursor, whatever the planner believes of how many there are.
_UNFETCHED = """
SELECT substr(e.subject, 6) FROM audit_entry e
CROSS JOIN LATERAL (SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS next) x
CROSS JOIN LATERAL (SELECT x.next - ((x.next - e.xmin::text::bigint) & 4294967295) AS whole) n
CROSS JOIN LATERAL (
  SELECT conversation_id FROM chat_turn WHERE id = substr(e.subject, 6) OFFSET 0) answered
LEFT JOIN LATERAL (
  SELECT seq FROM chat_received
  WHERE conversation_id = answered.conversation_id OFFSET 0) r ON true
WHERE e.action = 'reply_delivered' AND e.at > %s
  AND pg_visible_in_snapshot(n.whole::text::xid8, %s::pg_snapshot)
  AND coalesce(r.seq, 0) < (e.detail ->> 'seq')::int
"""


def unfetched(stop: Stop) -> list[Met]:
    """Return the turns in scope that were answered before the request, within a day, the newest first."""
    since = stop.requested_at - LOOKS_BACK
    with connection.cursor() as cursor:
        cursor.execute(_UNFETCHED, [since, stop.requested_snapshot])
        answered = [name for (name,) in cursor.fetchall()]
    named = RawSQL("SELECT unnest(%s::text[])", [answered])  # a constant
    turns = stop.turns().filter(pk__in=named).order_by("-created_at", "pk")[:MOST]
    return [Met(*row) for row in turns.values_list("pk", "conversation_id", "trace_id")]
