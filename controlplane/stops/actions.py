"""Every write to emergency stops."""

import time
from collections.abc import Iterable
from datetime import timedelta

import msgspec
from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import QuerySet

from controlplane import locks
from controlplane.audit import actions as audit
from controlplane.chat.models import Turn
from controlplane.clock import database_now
from controlplane.effects.actions import meet_stop
from controlplane.runtime.actions import change_control
from controlplane.runtime.models import HEARTBEAT_EXPIRES
from controlplane.stops import barrier, engaging
from controlplane.stops.models import ListedTurn, Stop
from controlplane.stops.points import points
from controlplane.stops.ramp import ramp_of
from controlplane.stops.receipt import receipt_of
from controlplane.stops.states import TIMES, State, may_move
from controlplane.stops.unfetched import unfetched

PROOF_MS = 2_000  # while it waits, no delivery begins
LOOK_S = 0.01
AGAIN_MS = 500  # after what held it for so long was ended
OVER = "Nothing waits for its ramp any more"
CLOCKS_DIFFER = timedelta(minutes=10)  # at most, between machines


class NotProvenError(Exception):
    """Not everybody has obeyed in time. The stop is in force; prove it again."""


class DeliveriesError(NotProvenError):
    """Deliveries from before a hard stop are still under way."""

    def __init__(self) -> None:
        super().__init__(
            f"The stop is in force but not proven: deliveries that began before it are still "
            f"under way after {PROOF_MS / 1000:g} s, and could not be ended. Prove it again."
        )


class WorkersError(NotProvenError):
    """Workers have not said that they obey a soft stop."""

    def __init__(self, late: list[str]) -> None:
        names = ", ".join(late)
        super().__init__(
            f"The stop is in force but not proven: {names} may still start what was asked before. "
            f"Prove it again; after {HEARTBEAT_EXPIRES.total_seconds():g} s of silence a worker holds by itself."
        )
        self.late = late


def request_stop(
    *, mode: str, scope: str, value: str = "", reason: str, requester: User | str
) -> Stop:
    """Put a stop in force. One that is in force already is the same stop."""
    stop, _ = engage_stop(
        mode=mode, scope=scope, value=value, reason=reason, requester=requester
    )
    return stop


def engage_stop(
    *, mode: str, scope: str, value: str = "", reason: str, requester: User | str
) -> tuple[Stop, bool]:
    """The same; return also whether it is a new one."""
    terms = {"mode": mode, "scope": scope, "value": value}
    while True:
        stop = engaging.engage(
            **terms, reason=reason, requester=audit.name_of(requester)
        )
        if stop is not None:
            return stop, True
        there = Stop.objects.in_force().filter(**terms).first()
        if there is not None:  # else it was released between the two
            return there, False


def prove_stop(stop: Stop, *, prover: User | str) -> Stop:
    """Wait until the stop is obeyed; NotProvenError when that takes longer than the bound.

    Call it outside a transaction, after the request was committed. The first proof counts.
    """
    if stop.mode == Stop.Mode.HARD:
        _prove_hard(stop, prover)
    else:
        _prove_soft(stop, prover)
    stop.refresh_from_db(fields=["proven_at", "proven_snapshot"])
    if stop.mode == Stop.Mode.HARD:
        _list(stop, ListedTurn.Fate.DELIVERED, _of(stop, _delivered(stop)))
        _list(stop, ListedTurn.Fate.NOT_FETCHED, unfetched(stop))
    return stop


def _prove_soft(stop: Stop, prover: User | str) -> None:
    """Wait until every worker in scope says that nothing can start there any more, or is silent."""
    deadline_s = time.monotonic() + PROOF_MS / 1000
    while late := [each.instance for each in points(stop) if each.state == "late"]:
        if time.monotonic() > deadline_s:
            raise WorkersError(late)
        time.sleep(LOOK_S)
    with transaction.atomic():
        _mark_proven(stop, prover)


def _prove_hard(stop: Stop, prover: User | str) -> None:
    """Wait until no delivery that began before can commit any more.

    One that goes on for longer than the bound is ended, and its turns are listed; DeliveriesError
    when even that does not help. Then what is being sent outside has its own bound.
    """
    at_request = barrier.holders()
    in_flight = _at_work(stop.turns(), at_request)
    try:
        _close_barrier(stop, prover, at_request)
        meet_stop(stop.pk, prover=prover)
        with transaction.atomic():
            _mark_proven(stop, prover)
    finally:
        _list(stop, ListedTurn.Fate.IN_FLIGHT, in_flight)


def _close_barrier(
    stop: Stop, prover: User | str, at_request: list[barrier.Holder]
) -> None:
    try:
        barrier.close(stop.pk, wait_ms=PROOF_MS)
    except locks.LockTimeoutError:
        _end_overdue(stop, prover, at_request)
        try:
            barrier.close(stop.pk, wait_ms=AGAIN_MS)
        except locks.LockTimeoutError as error:
            raise DeliveriesError from error


@transaction.atomic
def _end_overdue(
    stop: Stop, prover: User | str, at_request: Iterable[barrier.Holder]
) -> None:
    """End the deliveries that went on through all of the wait; what becomes of them nobody here knows.

    Others are as old by now and hold the barrier, but have only waited behind us.
    """
    going_on = {each.transaction for each in barrier.holders()}
    overdue = [each for each in at_request if each.transaction in going_on]
    ended = [holder for holder in overdue if barrier.end(holder)]
    met = _at_work(Turn.objects.all(), ended)  # whatever the stop is of
    _list(stop, ListedTurn.Fate.UNKNOWN, met)
    detail = {"deliveries": len(ended), "turns": len(met)}
    audit.record(prover, "stop_ended_deliveries", f"stop:{stop.pk}", detail=detail)


def _at_work(
    turns: QuerySet[Turn], holders: Iterable[barrier.Holder]
) -> list[barrier.Met]:
    names = {name for each in holders for name in each.conversations}
    return barrier.unsettled(turns, names)


def _delivered(stop: Stop) -> list[barrier.Met]:
    return barrier.delivered(
        requested=stop.requested_snapshot,
        proven=stop.proven_snapshot,
        since=stop.requested_at - CLOCKS_DIFFER,
    )


def _of(stop: Stop, met: list[barrier.Met]) -> list[barrier.Met]:
    """Return those in the stop's scope."""
    turns = stop.turns().filter(pk__in=[each.turn_id for each in met])
    known = set(turns.values_list("pk", flat=True))
    return [each for each in met if each.turn_id in known]


def _list(stop: Stop, fate: ListedTurn.Fate, met: Iterable[barrier.Met]) -> None:
    rows = [ListedTurn(stop=stop, fate=fate, **turn._asdict()) for turn in met]
    ListedTurn.objects.bulk_create(rows, ignore_conflicts=True)


def _mark_proven(stop: Stop, prover: User | str) -> None:
    if _move(stop, "proven"):
        assert stop.proven_at is not None
        took_ms = round(
            (stop.proven_at - stop.requested_at) / timedelta(milliseconds=1)
        )
        audit.record(
            prover, "stop_proven", f"stop:{stop.pk}", detail={"took_ms": took_ms}
        )


@transaction.atomic
def release_stop(
    stop: Stop, *, reason: str, releaser: User | str, ramp_per_s: float | None = None
) -> bool:
    """Let a stop go; return whether it was this call that did. Held answers stay held.

    ramp_per_s: how many records a second each agent of a soft stop may start of what has waited;
    None: all at once. A hard stop kept no agent waiting.
    """
    if not _move(
        stop, "releasing", released_by=audit.name_of(releaser), release_reason=reason
    ):
        return False
    if stop.mode == Stop.Mode.HARD or ramp_per_s is None:
        return finish_release(stop, reason=reason, finisher=releaser)
    stop.ramp_per_s = ramp_per_s
    detail = {"ramp_per_s": f"{ramp_per_s:g}"}
    version = _changed("stop_releasing", stop, releaser, reason, detail)
    stop.release_version = version
    stop.save(update_fields=["ramp_per_s", "release_version"])
    return True


@transaction.atomic
def finish_release(stop: Stop, *, reason: str, finisher: User | str) -> bool:
    """End a release; return whether it was this call that did. The log keeps the receipt."""
    if not _move(stop, "released"):
        return False
    _changed("stop_released", stop, finisher, reason)
    transaction.on_commit(lambda: _keep_receipt(stop, finisher), robust=True)
    return True


def _keep_receipt(stop: Stop, finisher: User | str) -> None:
    """To count may take seconds, and nobody is to wait for it who works on or stops something else."""
    receipt = msgspec.structs.asdict(receipt_of(stop))
    with transaction.atomic():
        audit.record(finisher, "stop_receipt", f"stop:{stop.pk}", detail=receipt)


def finish_releases(finisher: str) -> list[Stop]:
    """End the ramps that hold nobody back any more."""
    return [
        stop
        for stop in Stop.objects.releasing()
        if not ramp_of(stop).is_needed
        and finish_release(stop, reason=OVER, finisher=finisher)
    ]


def _move(stop: Stop, to: State, **fields: str) -> bool:
    """Move the stop on, if it may; what is given comes with it. Call it in a transaction."""
    locked = Stop.objects.select_for_update().get(pk=stop.pk)
    if not may_move(locked.state, to):
        return False
    for name, value in {TIMES[to]: database_now(), **fields}.items():
        setattr(stop, name, value)
    stop.save(update_fields=[TIMES[to], *fields])
    return True


def _changed(
    kind: str,
    stop: Stop,
    actor: User | str,
    reason: str,
    detail: dict[str, str] | None = None,
) -> int:
    return change_control(
        kind=kind,
        subject=f"stop:{stop.pk}",
        actor=actor,
        reason=reason,
        detail={"mode": stop.mode, "scope": stop.scope, "value": stop.value}
        | (detail or {}),
    )
