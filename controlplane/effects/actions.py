"""Every write to effects outside that no sender does: what a stop does to them, and what people decide."""

import time
from collections.abc import Iterable
from typing import Any, NamedTuple
from uuid import UUID

from django.contrib.auth.models import User
from django.db import connection, transaction

from controlplane.audit import actions as audit
from controlplane.clock import database_now
from controlplane.effects import statements
from controlplane.effects.models import Effect, ListedEffect
from controlplane.effects.states import LEADS_TO, Verb

DECIDE = "effects.decide_effect"
PROOF_MS = 2_000  # longer than mailer.FRESH_S, after which no sender begins any more
LOOK_S = 0.02

RESTORED = "The database was restored from a backup: it may have gone out since."

PAST = {"send": "put on the way", "sent": "marked as sent", "drop": "dropped"}


class Left(NamedTuple):
    """An effect that was not decided on, and why."""

    effect: Effect
    why: str


class Decided(NamedTuple):
    done: list[Effect]
    left: list[Left]


def meet_stop(stop_id: UUID, *, prover: User | str) -> None:
    """Hold what a hard stop covers; wait for what had begun, and list it.

    Call it once the barrier was closed: since then nothing in its scope begins. What is not over
    within the bound is unknown, and what was refused meanwhile is held as well.
    """
    given = {"stop": str(stop_id), "actor": audit.name_of(prover)}
    with connection.cursor() as cursor:
        cursor.execute(statements.MEET, given)
        while cursor.nextset():
            pass
        [is_listed] = cursor.fetchone()
    if not is_listed:
        return
    _wait_for_ends(stop_id, within_s=PROOF_MS / 1000)
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statements.GIVE_UP, given)
        cursor.execute(statements.HOLD_ALL, given)


def _wait_for_ends(stop_id: UUID, *, within_s: float) -> None:
    deadline_s = time.monotonic() + within_s
    listed = ListedEffect.objects.filter(stop=stop_id, effect__state="sending")
    while listed.exists() and time.monotonic() < deadline_s:
        time.sleep(LOOK_S)


@transaction.atomic
def decide_effects(ids: Iterable[int], *, verb: Verb, reason: str, by: User) -> Decided:
    """Decide on each that can be decided on so; of two people at once, the second finds them decided."""
    done, left = [], []
    rows = Effect.objects.select_for_update(of=("self",)).filter(pk__in=list(ids))
    for effect in rows.select_related("decided_by").order_by("pk"):
        why = _why_not(effect, verb)
        if why:
            left.append(Left(effect, why))
        else:
            _decide(effect, verb, reason, by)
            done.append(effect)
    return Decided(done, left)


def _why_not(effect: Effect, verb: Verb) -> str:
    if verb not in effect.verbs:
        by = f" by {effect.decided_by}" if effect.decided_by else ""
        return f"It is {effect.get_state_display().lower()}{by}."
    lease = effect.lease_until
    if verb == "send" and lease is not None and lease > database_now():
        return f"Its sender may still finish until {lease:%H:%M:%S} UTC."
    return ""


def _decide(effect: Effect, verb: Verb, reason: str, by: User) -> None:
    was, now = effect.state, database_now()
    effect.state = Effect.State(LEADS_TO[verb])
    effect.decided_by, effect.decided_at, effect.decided_why = by, now, reason
    effect.changed_at = effect.next_try_at = now
    effect.lease_until, effect.error = None, ""
    effect.save(
        update_fields=[
            "state",
            "decided_by",
            "decided_at",
            "decided_why",
            "changed_at",
            "next_try_at",
            "lease_until",
            "error",
        ]
    )
    detail = {"verb": verb, "was": was, "reason": reason, "record": effect.record_id}
    audit.record(
        by,
        "mail_decided",
        f"effect:{effect.pk}",
        trace_id=effect.trace_id,
        detail=detail,
    )


@transaction.atomic
def distrust_all(*, actor: str) -> int:
    """Leave to people what a restored backup says is still to be sent: it may have been since."""
    doubtful = Effect.objects.filter(state__in=["waiting", "sending", "held", "failed"])
    count = doubtful.update(
        state=Effect.State.UNKNOWN,
        error=RESTORED,
        lease_until=None,
        changed_at=database_now(),
    )
    if count:
        audit.record(actor, "mails_doubted", "database", detail={"mails": count})
    return count


@transaction.atomic
def take_over(row: dict[str, Any], *, actor: str) -> bool:
    """Write down a mail that was asked for after the backup; return whether it is new."""
    record_id = row.pop("record_id")
    effect, is_new = Effect.objects.get_or_create(
        record_id=record_id,
        defaults=row | {"state": Effect.State.UNKNOWN, "error": RESTORED},
    )
    if is_new:
        audit.record(
            actor,
            "mail_unknown",
            f"effect:{effect.pk}",
            trace_id=effect.trace_id,
            detail={"record": record_id, "error": RESTORED},
        )
    return is_new
