"""The one helper that writes the audit log, in the transaction of what it is about."""

from typing import Any

from django.contrib.auth.models import User
from django.db import connection

from controlplane.audit.models import Entry


class OutsideTransactionError(Exception):
    """An audit row must commit or vanish with the change it is about."""


def record(
    actor: User | str,
    action: str,
    subject: str,
    *,
    trace_id: str = "",
    detail: dict[str, Any] | None = None,
) -> Entry:
    """Write one line. Call it inside the transaction that acts."""
    if not connection.in_atomic_block:
        raise OutsideTransactionError(action)
    return Entry.objects.create(
        actor=actor if isinstance(actor, str) else actor.get_username(),
        action=action,
        subject=subject,
        trace_id=trace_id,
        detail=detail or {},
    )
