"""Every write to emergency stops."""

from datetime import timedelta

from django.contrib.auth.models import User
from django.db import connection, transaction
from django.utils import timezone

from controlplane import locks
from controlplane.audit import actions as audit
from controlplane.chat.settle import BARRIER
from controlplane.clock import database_now
from controlplane.runtime.actions import change_control
from controlplane.stops.models import Stop

PROOF_MS = 2_000  # while it waits, no delivery begins


class NotProvenError(Exception):
    """Deliveries from before the stop are still under way. The stop is in force; prove it again."""

    def __init__(self) -> None:
        super().__init__(
            f"The stop is in force but not proven: deliveries that began before it are still "
            f"under way after {PROOF_MS / 1000:g} s. Prove it again."
        )


def request_stop(
    *, mode: str, scope: str, value: str = "", reason: str, requester: User
) -> Stop:
    """Put a stop in force. One that is in force already is the same stop."""
    stop, _ = engage_stop(
        mode=mode, scope=scope, value=value, reason=reason, requester=requester
    )
    return stop


@transaction.atomic
def engage_stop(
    *, mode: str, scope: str, value: str = "", reason: str, requester: User
) -> tuple[Stop, bool]:
    """The same; return also whether it is a new one."""
    stop, is_new = Stop.objects.get_or_create(
        mode=mode,
        scope=scope,
        value=value,
        released_at=None,
        defaults={
            "reason": reason,
            "requested_by": requester,
            "requested_at": database_now(),  # compared with that of decisions
        },
    )
    if is_new:
        _changed("stop_requested", stop, requester, reason)
    return stop, is_new


def prove_stop(stop: Stop, *, prover: User | str) -> Stop:
    """Wait until no delivery that began before a hard stop can commit any more.

    Takes the lock that every delivery holds shared; NotProvenError when that is not given in
    time. Call it outside a transaction, after the request was committed. The first proof counts.
    """
    try:
        with locks.atomic(lock_timeout_ms=PROOF_MS):
            _prove(stop, prover)
    except locks.LockTimeoutError as error:
        raise NotProvenError from error
    stop.refresh_from_db(fields=["proven_at"])
    return stop


def _prove(stop: Stop, prover: User | str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [BARRIER])
    now = database_now()
    if Stop.objects.filter(pk=stop.pk, proven_at=None).update(proven_at=now):
        took_ms = round((now - stop.requested_at) / timedelta(milliseconds=1))
        audit.record(
            prover, "stop_proven", f"stop:{stop.pk}", detail={"took_ms": took_ms}
        )


@transaction.atomic
def release_stop(stop: Stop, *, reason: str, releaser: User) -> bool:
    """Release a stop; return whether it was this call that did. Held answers stay held."""
    count = Stop.objects.filter(pk=stop.pk, released_at=None).update(
        released_at=timezone.now(), released_by=releaser, release_reason=reason
    )
    if count:
        _changed("stop_released", stop, releaser, reason)
    return bool(count)


def _changed(kind: str, stop: Stop, actor: User, reason: str) -> None:
    change_control(
        kind=kind,
        subject=f"stop:{stop.pk}",
        actor=actor,
        reason=reason,
        detail={"mode": stop.mode, "scope": stop.scope, "value": stop.value},
    )
