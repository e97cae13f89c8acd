"""A day on which much waits: rows for the pages' part, and for the tests that count queries."""

from datetime import timedelta
from uuid import uuid4

import msgspec
from django.contrib.auth.models import User
from django.utils import timezone

from agents.registry import AGENTS
from controlplane.audit.models import Entry
from controlplane.chat.models import Message
from controlplane.deadletters.models import Letter
from moderation.models import Decision
from tests.factories import make_approval, make_turn
from tests.home.making import make_heartbeat
from tests.traces_pages.making import make_record

QUESTIONS = ("What does it cost?", "And with winter wheels?", "When could I have it?")


class Day(msgspec.Struct, frozen=True, kw_only=True):
    """How much there is of everything."""

    approvals: int = 1_000
    finished: int = 20
    workers: int = 100
    hops: int = 60
    letters: int = 200
    log_lines: int = 50_000


class Made(msgspec.Struct, frozen=True):
    """What the pages are about that show one thing."""

    approval: str
    trace_id: str


def fill(day: Day, moderator: User) -> Made:
    for _ in range(day.approvals):
        approval = make_approval()
    _talk(approval.turn.conversation_id)
    for _ in range(day.finished):
        _finish(moderator)
    for _ in range(day.workers):
        make_heartbeat(age_s=-3_600)  # alive while the pages are looked at
    for number in range(day.hops):
        _hop(approval.turn.trace_id, number)
    Letter.objects.bulk_create(_letter(number) for number in range(day.letters))
    Entry.objects.create(actor="ada", action="agent_paused", subject="agent:gate")
    Entry.objects.bulk_create(
        Entry(actor="gate", action="reply_delivered", subject=f"turn:{number}")
        for number in range(day.log_lines)
    )
    return Made(str(approval.pk), approval.turn.trace_id)


def _talk(conversation_id: str) -> None:
    for seq, text in enumerate(QUESTIONS * 6, start=2):
        turn = make_turn(text=text)
        Message.objects.filter(turn=turn).update(conversation=conversation_id, seq=seq)


def _finish(moderator: User) -> None:
    approval = make_approval(state="approved")
    Decision.objects.create(
        approval=approval,
        verdict="approve",
        text=approval.text,
        text_sha256=approval.text_sha256,
        decided_by=moderator,
    )


def _hop(trace_id: str, number: int) -> None:
    names = list(AGENTS)
    make_record(
        trace_id,
        "agent.responses.final",
        at=timezone.now() + timedelta(milliseconds=number),
        agent=names[number % len(names)],
        text="It costs as much as the list says, and you can drive it on Saturday.",
    )


def _letter(number: int) -> Letter:
    return Letter(
        partition=number % 6,
        offset=number,
        at=timezone.now(),
        trace_id=uuid4().hex,
        agent="responder",
        topic="agent.requests.free",
        topic_partition=number % 6,
        topic_offset=number,
        key="c_1",
        reason=f"ValueError: it was bad, {number}",
        attempts=3,
        size_bytes=300,
    )
