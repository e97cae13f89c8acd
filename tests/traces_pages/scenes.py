"""A trace with everything in it: a held answer that a person edited."""

from controlplane.chat.models import Duplicate, Message, Turn
from moderation.models import Decision
from tests.factories import (
    make_approval,
    make_conversation,
    make_moderator,
    make_turn,
)
from tests.traces_pages.making import after, make_record

QUESTION = "Yes please. BMW gave me 20 % off already."
DRAFT = (
    "We can take 25 % off the E-Class estate if you sign before the end of the month."
)
SENT = (
    "We can take 12 % off the E-Class estate if you sign before the end of the month."
)


def edited_trace() -> Turn:
    conversation = make_conversation(tier="enterprise")
    turn = make_turn(conversation, text=QUESTION)
    trace = turn.trace_id
    raw = make_record(trace, "user.messages.raw", text=QUESTION, event_id=turn.pk)
    make_record(
        trace,
        "user.messages.cleaned",
        ms=2,
        text=QUESTION,
        agent="input-guard",
        type="CleanedMessage",
        parents=[raw.event_id],
    )
    make_record(
        trace,
        "agent.requests.enterprise",
        ms=3.4,
        agent="tier-router",
        type="ModelRequest",
    )
    make_record(
        trace,
        "agent.responses.raw",
        ms=1410,
        text=DRAFT,
        agent="responder",
        type="RawResponse",
    )
    held = make_record(
        trace,
        "discount.queries.pending_approval",
        ms=1413,
        text=DRAFT,
        agent="output-guard",
        type="PendingResponse",
    )
    late = make_record(
        trace, "agent.responses.final", ms=1500, text=DRAFT, agent="output-guard"
    )
    Duplicate.objects.create(
        record_id=late.event_id,
        turn=turn,
        topic=late.topic,
        partition=late.partition,
        offset=late.offset,
        outcome_state="held",
    )
    approval = make_approval(
        turn, text=DRAFT, state="approved", record_id=held.event_id
    )
    Decision.objects.create(
        approval=approval,
        verdict="edit",
        text=SENT,
        text_sha256="0" * 64,
        reason="The limit is 15 %.",
        decided_by=make_moderator(),
        decided_at=after(111_784),
    )
    make_record(
        trace, "agent.responses.approved", ms=111_790, text=SENT, agent="moderation"
    )
    turn.outcomes.update(state="delivered", reviewed=True)
    Message.objects.create(
        conversation=conversation,
        seq=2,
        turn=turn,
        role="assistant",
        text=SENT,
        reviewed=True,
        delivered_at=after(111_797),
    )
    return turn
