"""Plain functions that make valid rows. Say only what the test is about."""

import hashlib
import time
from datetime import timedelta
from typing import Any
from uuid import uuid4

from django.contrib.auth.models import Group, User
from django.test import Client
from django.utils import timezone

from controlplane.accounts.models import Team
from controlplane.chat.models import (
    Conversation,
    Correction,
    CorrectionCopy,
    Message,
    Outcome,
    Turn,
)
from moderation.models import Approval


def make_user(username: str, role: str = "", **fields: Any) -> User:
    user = User.objects.create_user(
        username, password="correct horse battery", **fields
    )
    if role:
        user.groups.add(Group.objects.get(name=role))
    return user


def sign_in_now(client: Client, user: User) -> None:
    """Sign in as with a password just now: what is dangerous asks for nothing more."""
    client.force_login(user)
    session = client.session
    record = {"method": "password", "at": time.time()}
    session["account_authentication_methods"] = [record]
    session["account_authentication_methods_user"] = str(user.pk)
    session.save()


TEAMS = {
    "discount": "Discounts",
    "finance": "Finance",
    "legal": "Legal",
    "general": "General",
}


def make_teams(*slugs: str) -> list[Team]:
    """Those named, else all. Migrations make them too, but a test that truncates takes them away."""
    teams = Team.objects
    return [
        teams.get_or_create(slug=slug, defaults={"name": TEAMS[slug]})[0]
        for slug in slugs or TEAMS
    ]


def make_moderator(username: str = "mira", *teams: str) -> User:
    """Of all teams, unless some are named."""
    user = make_user(username, "moderator")
    user.teams.set(make_teams(*teams))
    return user


def make_admin(username: str = "ada") -> User:
    return make_user(username, "admin", is_staff=True)


def make_conversation(**fields: Any) -> Conversation:
    defaults = {"id": f"c_{uuid4().hex[:12]}", "tier": "free", "user": "u_1"}
    return Conversation.objects.create(**(defaults | fields))


def make_turn(conversation: Conversation | None = None, **fields: Any) -> Turn:
    """An accepted turn with its question in the transcript."""
    conversation = conversation or make_conversation()
    conversation.latest_turn += 1
    conversation.latest_seq += 1
    conversation.save(update_fields=["latest_turn", "latest_seq"])
    defaults = {
        "id": str(uuid4()),
        "number": conversation.latest_turn,
        "client_id": str(uuid4()),
        "text": "What does the E-Class cost?",
        "trace_id": uuid4().hex,
        "accepted_at": timezone.now(),
        "deadline_at": timezone.now() + timedelta(minutes=2),
    }
    turn = Turn.objects.create(conversation=conversation, **(defaults | fields))
    Message.objects.create(
        conversation=conversation,
        seq=conversation.latest_seq,
        turn=turn,
        role="user",
        text=turn.text,
    )
    return turn


def make_answer(turn: Turn, **fields: Any) -> Message:
    """The next line of its conversation: the turn's answer, delivered."""
    conversation = turn.conversation
    conversation.latest_seq += 1
    conversation.save(update_fields=["latest_seq"])
    defaults = {"seq": conversation.latest_seq, "role": "assistant", "text": "Ten."}
    return Message.objects.create(
        conversation=conversation, turn=turn, **(defaults | fields)
    )


def make_copy(turn: Turn | None = None, **fields: Any) -> CorrectionCopy:
    """A correction of an answer, owed to one conversation; with its line if it is delivered."""
    turn = turn or make_turn()
    text = fields.pop("text", "It costs 58,000 euros.")
    correction = fields.pop("correction", None) or Correction.objects.create(
        text=text,
        text_sha256=hashlib.sha256(text.encode()).hexdigest(),
        reason="It had named the price of another car.",
        written_by="mona",
        written_at=timezone.now(),
    )
    is_delivered = fields.get("state") == CorrectionCopy.State.DELIVERED
    defaults = {
        "seen_turn": turn.conversation.latest_turn,
        "asked_at": correction.written_at,
        "queued_at": correction.written_at,
        "seq": turn.conversation.latest_seq + 1 if is_delivered else None,
    }
    copy = CorrectionCopy.objects.create(
        correction=correction,
        conversation=turn.conversation,
        turn=turn,
        **(defaults | fields),
    )
    if is_delivered:
        line = {"kind": "correction", "reviewed": True, "text": correction.text}
        made = {"seq": copy.seq, "delivered_at": copy.changed_at}
        make_answer(turn, copy=copy, **line, **made)
    return copy


def make_approval(turn: Turn | None = None, **fields: Any) -> Approval:
    """A held reply, its turn's outcome with it."""
    turn = turn or make_turn()
    record_id = str(uuid4())
    Outcome.objects.create(turn=turn, state="held", record_id=record_id)
    text = fields.pop("text", "I can give you 25 % off today.")
    defaults = {
        "turn": turn,
        "team": "discount",
        "record_id": record_id,
        "text": text,
        "text_sha256": hashlib.sha256(text.encode()).hexdigest(),
        "why": "Discount above the limit: 25 over 5, “25 % off”",
        "verdict": {
            "action": "escalate",
            "team": "discount",
            "ruleset_hash": "0" * 64,
            "findings": [
                {
                    "rule": "discount-free",
                    "name": "Discount above the limit",
                    "version": 1,
                    "kind": "threshold",
                    "action": "escalate",
                    "severity": "high",
                    "start": 15,
                    "end": 23,
                    "said": "25 % off",
                    "number": 25.0,
                    "limit": 5.0,
                    "team": "discount",
                }
            ],
        },
        "deadline_at": timezone.now() + timedelta(minutes=15),
    }
    return Approval.objects.create(**(defaults | fields))
