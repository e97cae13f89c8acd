"""A stop is put in force by one trip to PostgreSQL: whoever presses waits for a busy processor once."""

from uuid import uuid4

from django.db import connection

from controlplane.runtime.actions import CHANGE, parameters_of_change
from controlplane.stops.models import Stop

# What a request says of a stop, in the model's order; the rest is read when somebody asks.
_SAID = (
    *("id", "mode", "scope", "value", "reason", "requested_by", "requested_at"),
    *("control_version", "requested_snapshot"),
)
# As of what is committed now.
_REQUEST = """
INSERT INTO stops_stop (id, mode, scope, value, reason, requested_by, requested_at, requested_snapshot, release_reason)
VALUES (%(id)s, %(mode)s, %(scope)s, %(value)s, %(reason)s, %(actor)s, clock_timestamp(),
  CASE %(mode)s WHEN 'hard' THEN pg_current_snapshot()::text ELSE '' END, '')
ON CONFLICT (mode, scope, value) WHERE releasing_at IS NULL DO NOTHING
"""
_IS_NEW = "EXISTS (SELECT FROM stops_stop WHERE id = %(id)s)"
_NOTE_VERSION = """
UPDATE stops_stop SET control_version = (SELECT version FROM runtime_controlversion)
WHERE id = %(id)s RETURNING :said
""".replace(":said", ", ".join(_SAID))
# The version is locked last, as by everybody else.
_ENGAGE = ";".join([_REQUEST, CHANGE.format(only_if=_IS_NEW), _NOTE_VERSION])


def engage(
    *, mode: str, scope: str, value: str, reason: str, requester: str
) -> Stop | None:
    """Put a stop in force and return it; None if it is in force already."""
    stop_id = uuid4()
    terms = {"mode": mode, "scope": scope, "value": value}
    change = parameters_of_change(
        kind="stop_requested",
        subject=f"stop:{stop_id}",
        actor=requester,
        reason=reason,
        detail=terms,
    )
    with connection.cursor() as cursor:
        cursor.execute(_ENGAGE, change | terms | {"id": stop_id, "reason": reason})
        while cursor.nextset():
            pass
        row = cursor.fetchone()
    return None if row is None else Stop.from_db(connection.alias, _SAID, row)
