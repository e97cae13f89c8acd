"""Writes to turns that people ask for. All others are the gate's and the intake's."""

from datetime import timedelta

from django.conf import settings
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.db.models import Q
from django.utils import timezone

from controlplane.audit import actions as audit
from controlplane.chat import live
from controlplane.chat.letters import LETTERS, About
from controlplane.chat.models import Conversation, Outcome
from controlplane.chat.turns import TRANSITIONS, State


@transaction.atomic
def reopen_turns(letter: About | None, *, actor: User, because: str) -> list[str]:
    """Open the failed turns that a letter is about, so that its record may still be answered.

    Return their ids. Locks their conversations, as the gate does.
    """
    if letter is None:
        return []
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [LETTERS])
    one = (
        Q(turn=letter.turn_id) if letter.turn_id else Q(turn__trace_id=letter.trace_id)
    )
    outcomes = Outcome.objects.filter(one, effect="reply")
    names = sorted(set(outcomes.values_list("turn__conversation_id", flat=True)))
    list(Conversation.objects.select_for_update().filter(pk__in=names).order_by("pk"))
    found = [
        outcome
        for outcome in outcomes.select_related("turn")
        if "open" in TRANSITIONS[_state(outcome)]
    ]
    for outcome in found:
        _reopen(outcome, actor, because)
    if found:
        transaction.on_commit(lambda: live.conversations_changed(names), robust=True)
    return [outcome.turn_id for outcome in found]


def _state(outcome: Outcome) -> State:
    return outcome.state  # type: ignore[return-value]  # its choices are those states


def _reopen(outcome: Outcome, actor: User, because: str) -> None:
    """Nothing is left of the failure, and the agents get a whole deadline."""
    turn, now = outcome.turn, timezone.now()
    detail = {"because": because, "had_failed": outcome.reason}
    outcome.state, outcome.record_id, outcome.reason = "open", "", ""
    outcome.changed_at = now
    outcome.save(update_fields=["state", "record_id", "reason", "changed_at"])
    turn.deadline_at = now + timedelta(seconds=settings.TURN_DEADLINE_S)
    turn.save(update_fields=["deadline_at"])
    audit.record(
        actor, "turn_reopened", f"turn:{turn.pk}", trace_id=turn.trace_id, detail=detail
    )
