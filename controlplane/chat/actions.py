"""Writes to turns that people or beat ask for. All others are the gate's and the intake's."""

from datetime import timedelta

from django.conf import settings
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.db.models import F, Q
from django.utils import timezone

from agents import topics
from controlplane.audit import actions as audit
from controlplane.chat import ingress, live
from controlplane.chat.letters import LETTERS, About
from controlplane.chat.models import Conversation, Outcome, Turn
from controlplane.chat.turns import TRANSITIONS, State
from controlplane.runtime.actions import enqueue_bytes
from controlplane.runtime.models import OutboxRecord

# Clients send again by themselves for as long as they are there.
SEND_AGAIN_AFTER = timedelta(seconds=60)
SEND_AGAIN_UNTIL = timedelta(days=1)
SEND_AGAIN_AT_ONCE = 500


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


@transaction.atomic
def send_again() -> int:
    """Put questions that never came back from Kafka into the outbox; return how many.

    PostgreSQL has them from before they were sent. Kafka did not confirm them, and nobody sent
    them again; or it confirmed them and has lost them since, as when all its brokers are killed
    at once. Their ids are the same as before: one that is only late stays one turn. Each try gets
    a whole deadline, and waits as long as all before it took: ten or eleven in a day. While the
    outbox holds questions there is none.
    """
    if OutboxRecord.objects.unpublished().filter(topic=topics.USER_RAW).exists():
        return 0
    now = timezone.now()
    whole = timedelta(seconds=settings.TURN_DEADLINE_S)
    lost = (
        Turn.objects.filter(accepted_at=None, created_at__gt=now - SEND_AGAIN_UNTIL)
        .annotate(tried_at=F("deadline_at") - whole)
        .filter(tried_at__lt=now - SEND_AGAIN_AFTER)
        .filter(tried_at__lte=now - (F("tried_at") - F("created_at")))
        .select_related("conversation")
        .select_for_update(of=["self"], skip_locked=True)
        .order_by("created_at", "pk")[:SEND_AGAIN_AT_ONCE]
    )
    for turn in lost:
        turn.deadline_at = now + whole
        turn.save(update_fields=["deadline_at"])
        sent = ingress.record_of(
            ingress.Incoming(
                conversation_id=turn.conversation_id,
                client_id=turn.client_id,
                text=turn.text,
                user=turn.conversation.user,
                tier=turn.effective_tier,
            )
        )
        enqueue_bytes(sent.topic, key=sent.key, value=sent.value, headers=sent.headers)
        subject = f"turn:{turn.pk}"
        audit.record("sweeper", "turn_sent_again", subject, trace_id=turn.trace_id)
    return len(lost)


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
