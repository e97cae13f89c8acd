"""What had gone out before a hard stop and no widget has said that it has."""

from datetime import timedelta

from django.db.models.expressions import RawSQL

from controlplane.stops.barrier import Met
from controlplane.stops.models import Stop

LOOKS_BACK = timedelta(hours=24)
MOST = 10_000  # the newest: a user's side that never says what it has leaves many

# A snapshot has 64 bits of a transaction's number, a row has 32: see barrier.py.
_UNFETCHED = """
SELECT substr(e.subject, 6) FROM audit_entry e
CROSS JOIN LATERAL (SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS next) x
CROSS JOIN LATERAL (SELECT x.next - ((x.next - e.xmin::text::bigint) & 4294967295) AS whole) n
JOIN chat_turn answered ON answered.id = substr(e.subject, 6)
LEFT JOIN chat_received r ON r.conversation_id = answered.conversation_id
WHERE e.action = 'reply_delivered' AND e.at > %s
  AND pg_visible_in_snapshot(n.whole::text::xid8, %s::pg_snapshot)
  AND coalesce(r.seq, 0) < (e.detail ->> 'seq')::int
"""


def unfetched(stop: Stop) -> list[Met]:
    """Return the turns in scope that were answered before the request, within a day, the newest first."""
    since = stop.requested_at - LOOKS_BACK
    answered = RawSQL(_UNFETCHED, [since, stop.requested_snapshot])  # noqa: S611  # a constant
    turns = stop.turns().filter(pk__in=answered).order_by("-created_at", "pk")[:MOST]
    return [Met(*row) for row in turns.values_list("pk", "conversation_id", "trace_id")]
