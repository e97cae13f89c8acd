"""The one helper that writes the audit log, in the transaction of what it is about."""

import getpass
from typing import Any

from django.contrib.auth.models import User
from django.db import connection

from controlplane.audit.models import Entry


class OutsideTransactionError(Exception):
    """An audit row must commit or vanish with the change it is about."""


def name_of(actor: User | str) -> str:
    """Return what the log calls somebody: a user's name, or what acts without one, as shell:NAME."""
    return actor if isinstance(actor, str) else actor.get_username()


def at_the_shell() -> str:
    """Return the actor of a command that somebody runs on a machine of ours."""
    return f"shell:{getpass.getuser()}"


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
        actor=name_of(actor),
        action=action,
        subject=subject,
        trace_id=trace_id,
        detail=detail or {},
    )
