"""Writes to turns and their answers that people or beat ask for. All others are the gate's and the intake's."""

from datetime import timedelta

from django.conf import settings
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.db.models import F, Q
from django.utils import timezone

from agents import topics
from agents.cloudevents import Envelope, derive_id
from agents.events import Feedback as FeedbackEvent
from agents.postgres import plain
from controlplane import locks
from controlplane.audit import actions as audit
from controlplane.chat import corrections, ingress, live
from controlplane.chat.letters import LETTERS, About
from controlplane.chat.models import Conversation, Feedback, Message, Outcome, Turn
from controlplane.chat.turns import TRANSITIONS, State
from controlplane.runtime.actions import enqueue, enqueue_bytes
from controlplane.runtime.models import OutboxRecord

# Clients send again by themselves for as long as they are there.
SEND_AGAIN_AFTER = timedelta(seconds=60)
SEND_AGAIN_UNTIL = timedelta(days=1)
SEND_AGAIN_AT_ONCE = 500

FEEDBACK_LOCK_MS = 2_000  # the gate holds a conversation for milliseconds
REASON_MAX_CHARS = 500
TIMES_GIVEN_MAX = 20  # each time is a record of Kafka


class NoSuchAnswerError(Exception):
    """The conversation has no answer of that number."""


class ReasonTooLongError(Exception):
    """More characters than a reason may have."""


class TooManyChangesError(Exception):
    """The answer was rated too often."""


@transaction.atomic
def reopen_turns(letter: About | None, *, actor: User, because: str) -> list[str]:
    """Open the failed turns that a letter is about, so that its record may still be answered.

    A letter about a correction opens its copy, and no turn. Return their ids. Locks their conversations, as the gate does.
    """
    if letter is None:
        return []
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [LETTERS])
    if letter.correction_id:
        corrections.reopen_copy(letter, actor=actor, because=because)
        return []
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
                wants_person=turn.wants_person,
            )
        )
        enqueue_bytes(sent.topic, key=sent.key, value=sent.value, headers=sent.headers)
        subject = f"turn:{turn.pk}"
        audit.record("sweeper", "turn_sent_again", subject, trace_id=turn.trace_id)
    return len(lost)


def give_feedback(
    conversation_id: str, seq: int, *, rating: Feedback.Rating, reason: str
) -> None:
    """Keep what the user says of an answer, and put it into the outbox; said again it is nothing.

    Locks the conversation: records of one key are written under that lock. LockTimeoutError if
    it stays locked. Not inside a transaction.
    """
    reason = plain(reason).strip()
    if len(reason) > REASON_MAX_CHARS:
        raise ReasonTooLongError(f"{len(reason)} characters; {REASON_MAX_CHARS} may be")
    with locks.atomic(lock_timeout_ms=FEEDBACK_LOCK_MS):
        list(Conversation.objects.select_for_update().filter(pk=conversation_id))
        answer = (
            Message.objects.select_related("turn__conversation", "feedback")
            .filter(
                conversation=conversation_id,
                seq=seq,
                role=Message.Role.ASSISTANT,
                copy=None,
            )
            .first()
        )
        if answer is None:
            raise NoSuchAnswerError("the conversation has no answer of that number")
        feedback = getattr(answer, "feedback", None) or Feedback(
            message=answer, times_given=0
        )
        if (feedback.rating, feedback.reason) != (rating, reason):
            _keep_feedback(feedback, rating, reason)


@transaction.atomic
def read_line(key: int, *, by: User) -> str | None:
    """Return what a line of a conversation says, as it was written, which is on record; nothing if there is none."""
    found = Message.objects.select_related("turn").filter(pk=key).first()
    if found is None:
        return None
    trace_id = found.turn.trace_id
    audit.record(by, "message_read", f"message:{key}", trace_id=trace_id)
    return found.text


def _keep_feedback(feedback: Feedback, rating: Feedback.Rating, reason: str) -> None:
    if feedback.times_given >= TIMES_GIVEN_MAX:
        raise TooManyChangesError("the answer was rated too often")
    feedback.rating, feedback.reason = rating, reason
    feedback.times_given += 1
    feedback.given_at = timezone.now()
    feedback.save()
    _send_feedback(feedback)


def _send_feedback(feedback: Feedback) -> None:
    answer, turn = feedback.message, feedback.message.turn
    data = FeedbackEvent(
        turn_id=turn.pk,
        conversation_id=turn.conversation_id,
        tier=turn.effective_tier,
        seq=answer.seq,
        rating="up" if feedback.rating == Feedback.Rating.UP else "down",
        reason=feedback.reason,
    )
    topic = topics.TRAINING_FEEDBACK
    outcome = turn.outcomes.filter(effect="reply").first()
    envelope = Envelope(
        id=derive_id(f"{turn.pk}:{feedback.times_given}", "widget", topic, 0),
        type=type(data).__name__,
        source="widget",
        trace_id=turn.trace_id,
        subject=turn.conversation.user,
        workflow=turn.conversation.workflow,
        tier=turn.effective_tier,
        parents=(outcome.record_id,) if outcome and outcome.record_id else (),
    )
    enqueue(topic, key=turn.conversation_id, data=data, envelope=envelope)


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
