"""Puts copies of corrections into the outbox: few at a time, each under its conversation's lock."""

import time

from django.db import transaction

from agents import topics
from agents.cloudevents import Envelope
from agents.events import CorrectionCopy as CopyEvent
from agents.events import DecidedResponse
from controlplane.chat.copies import SOURCE, record_id_of
from controlplane.chat.models import Conversation, CorrectionCopy, Turn
from controlplane.clock import database_now
from controlplane.runtime.actions import Sent, enqueue_all
from controlplane.runtime.models import OutboxRecord

# What waits for a conversation that is locked here is the gate, with all that is in its batch.
BATCH = 50
RUN_S = 2.0  # then the next wake-up goes on
# Decisions of moderators wait behind what corrections have put into the outbox.
MAX_UNPUBLISHED = 500


def queue_copies() -> None:
    """Put what is owed into the outbox, for a while. What is locked waits for the next time."""
    until_s = time.monotonic() + RUN_S
    while time.monotonic() < until_s and _has_room() and _queue_some():
        pass


def _has_room() -> bool:
    waiting = OutboxRecord.objects.unpublished()
    return waiting[:MAX_UNPUBLISHED].count() < MAX_UNPUBLISHED


@transaction.atomic
def _queue_some() -> bool:
    """Put a few into the outbox, each under its conversation's lock; return whether there were any."""
    unsent = CorrectionCopy.objects.unsent().order_by("pk")
    names = unsent.values_list("conversation_id", flat=True)[:BATCH]
    free = Conversation.objects.select_for_update(skip_locked=True).order_by("pk")
    locked = [each.pk for each in free.filter(pk__in=list(names))]
    copies = list(
        unsent.filter(conversation__in=locked)
        .select_related("correction", "turn__conversation")
        .prefetch_related("turn__outcomes")
    )
    if copies:
        enqueue_all(_record_of(copy) for copy in copies)
    now = database_now()
    CorrectionCopy.objects.filter(pk__in=[copy.pk for copy in copies]).update(
        queued_at=now
    )
    return bool(copies)


def _record_of(copy: CorrectionCopy) -> Sent:
    correction, turn, conversation = copy.correction, copy.turn, copy.turn.conversation
    topic = topics.RESPONSES_APPROVED
    data = DecidedResponse(
        turn_id=turn.pk,
        conversation_id=conversation.pk,
        tier=turn.effective_tier,
        approval_id="",
        text=correction.text,
        text_sha256=correction.text_sha256,
        decided_by=correction.written_by,
        reason=correction.reason,
        correction=CopyEvent(
            correction_id=str(correction.pk),
            seen_turn=copy.seen_turn,
            asked_at=copy.asked_at,
            confirmed=copy.confirmed,
            stop_id=str(correction.stop_id or ""),
        ),
    )
    envelope = Envelope(
        id=record_id_of(str(correction.pk), conversation.pk, copy.tries),
        type=type(data).__name__,
        source=SOURCE,
        trace_id=turn.trace_id,
        subject=conversation.user,
        workflow=conversation.workflow,
        tier=turn.effective_tier,
        parents=_parents(turn),
    )
    return Sent(topic, conversation.pk, data, envelope)


def _parents(turn: Turn) -> tuple[str, ...]:
    """Return the record that brought the answer."""
    return tuple(
        outcome.record_id
        for outcome in turn.outcomes.all()
        if outcome.effect == "reply" and outcome.record_id
    )
