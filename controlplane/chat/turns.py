"""One turn, one outcome: its states, what records say of it, and what is to be written."""

import hashlib
from collections.abc import Set
from datetime import datetime
from typing import Any, Literal

import msgspec

from guardrails.verdicts import Verdict

State = Literal[
    "open", "held", "approved", "rejected", "expired", "delivered", "failed"
]
Decided = Literal["approved", "rejected", "expired"]
FactKind = Literal[
    "opened",
    "reply",
    "hold",
    "approved",
    "rejected",
    "expired",
    "failed",
    "correction",
    "correction_failed",
]

HELD_BY_STOP = "Hard stop on "

TRANSITIONS: dict[State, frozenset[State]] = {
    "open": frozenset({"held", "delivered", "failed"}),
    "held": frozenset({"approved", "rejected", "expired"}),
    # held: a hard stop came in between, or the gate cannot carry the decision out
    "approved": frozenset({"delivered", "held"}),
    "rejected": frozenset({"held"}),  # for its safe text
    "expired": frozenset({"held"}),
    "delivered": frozenset(),
    "failed": frozenset({"open"}),  # when a person has its dead letter sent again
}


CopyStateName = Literal["owed", "delivered", "refused"]

# The copy of a correction that one conversation is to get.
COPY_TRANSITIONS: dict[CopyStateName, frozenset[CopyStateName]] = {
    "owed": frozenset({"delivered", "refused"}),
    # when a person confirms it, or has its dead letter sent again
    "refused": frozenset({"owed"}),
    "delivered": frozenset(),
}


class TransitionError(Exception):
    """A move that the table of states does not have."""


class Fact(msgspec.Struct, frozen=True, kw_only=True):
    """What a record says about a turn. Whether it counts is decided here, not by the record."""

    kind: FactKind
    turn_id: str
    conversation_id: str
    record_id: str
    coordinates: tuple[str, int, int] = ("", 0, 0)
    trace_id: str = ""
    source: str = ""
    tier: str = "free"
    user: str = ""
    client_id: str = ""
    text: str = ""
    text_kind: str = "reply"
    team: str = ""
    verdict: Verdict | None = None
    is_flagged: bool | None = None  # None: the output guard did not judge it
    approval_id: str = ""
    correction_id: str = ""
    reason: str = ""


class StopInForce(msgspec.Struct, frozen=True):
    scope: str
    value: str
    requested_at: datetime

    def covers(
        self, *, conversation: str, workflow: str, tier: str, agents: Set[str]
    ) -> bool:
        """Tell whether an answer is in its scope; agents are those whose work is in it."""
        facts: dict[str, Set[str]] = {
            "everything": {""},
            "workflow": {workflow},
            "agent": agents,
            "tier": {tier},
            "conversation": {conversation},
        }
        return self.value in facts.get(self.scope, ())

    @property
    def why(self) -> str:
        """What is said to people of what it holds."""
        return f"{HELD_BY_STOP}{self.scope} {self.value}".strip()


class DecidedApproval(msgspec.Struct, frozen=True):
    """What PostgreSQL says of an approval: the only word that counts."""

    id: str
    turn_id: str
    state: Decided
    text_sha256: str
    decided_at: datetime | None
    text: str
    team: str


class CopyState(msgspec.Struct, kw_only=True):
    """What PostgreSQL says of the copy of a correction, then what it is to say."""

    id: int
    correction_id: str
    conversation_id: str
    turn_id: str
    seen_turn: int
    confirmed: bool
    asked_at: datetime
    tries: int
    state: CopyStateName
    text_sha256: str
    why: str = ""
    seq: int | None = None

    def move(self, state: CopyStateName) -> None:
        if state not in COPY_TRANSITIONS[self.state]:
            raise TransitionError(f"{self.state} to {state}")
        self.state = state


class TurnState(msgspec.Struct, kw_only=True):
    """A turn and its outcome as they stand, then as they are to be written."""

    id: str
    conversation_id: str
    number: int
    text: str
    trace_id: str
    tier: str = ""
    client_id: str = ""
    is_accepted: bool = False  # Kafka has it, and its text is known
    created_at: datetime
    state: State = "open"
    record_id: str = ""
    kind: str = ""
    ready_text: str = ""
    source: str = ""
    reviewed: bool = False
    reason: str = ""
    held_records: frozenset[str] = frozenset()  # that were put before people
    lines: frozenset[str] = frozenset()  # whose are in the transcript

    def move(self, state: State) -> None:
        if state not in TRANSITIONS[self.state]:
            raise TransitionError(f"{self.state} to {state}")
        self.state = state

    def has_seen(self, record_id: str) -> bool:
        return record_id == self.record_id or record_id in self.held_records

    def has_buried(self, record_id: str) -> bool:
        """Say whether people were asked again because the gate failed on this record."""
        return buried(record_id) in self.held_records

    @property
    def is_ready(self) -> bool:
        return self.state == "open" and bool(self.record_id)


class Counters(msgspec.Struct, kw_only=True):
    """A conversation's own row."""

    id: str
    tier: str
    workflow: str
    latest_turn: int
    passed_turn: int
    latest_seq: int
    user: str = ""


class ConversationState(Counters, kw_only=True):
    turns: dict[str, TurnState] = {}

    def counters(self) -> Counters:
        return Counters(
            **{name: getattr(self, name) for name in Counters.__struct_fields__}
        )


class NewMessage(msgspec.Struct, frozen=True, kw_only=True):
    conversation_id: str
    seq: int
    turn_id: str
    role: Literal["user", "assistant"]
    text: str
    kind: str
    reviewed: bool
    copy_id: int | None = None


class NewApproval(msgspec.Struct, frozen=True, kw_only=True):
    turn_id: str
    record_id: str
    team: str
    text: str
    why: str
    verdict: Verdict


class Judgement(msgspec.Struct, frozen=True, kw_only=True):
    """What the output guard said of the reply to a turn."""

    turn_id: str
    workflow: str
    tier: str
    source: str
    is_flagged: bool


class Duplicate(msgspec.Struct, frozen=True, kw_only=True):
    """A record that came when its turn had another: state is what the turn was then."""

    record_id: str
    turn_id: str
    coordinates: tuple[str, int, int]
    state: State


class AuditLine(msgspec.Struct, frozen=True, kw_only=True):
    action: str
    subject: str
    trace_id: str
    detail: dict[str, Any]


class Plan(msgspec.Struct, kw_only=True):
    """Everything that one transaction is to write: what is new, and what has changed."""

    messages: list[NewMessage] = []
    approvals: list[NewApproval] = []
    judgements: list[Judgement] = []
    duplicates: list[Duplicate] = []
    audit: list[AuditLine] = []
    turns: list[TurnState] = []
    conversations: list[Counters] = []
    copies: list[CopyState] = []


def buried(record_id: str) -> str:
    """Return the id under which people are asked again about a record of the dead letters."""
    return f"dlq:{record_id}"


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def mismatch(
    approval: DecidedApproval | None, turn: TurnState, fact: Fact, state: Decided
) -> str:
    """Return what is wrong with a record that says a person decided, or nothing."""
    if approval is None or approval.turn_id != turn.id:
        return "no such approval"
    if turn.has_buried(fact.record_id):
        return "it had failed, and people were asked again"
    if approval.state != state:
        return f"the approval is {approval.state}"
    if approval.text_sha256 != sha256(fact.text):
        return "not the text that was decided"
    if turn.state != "held":
        return f"the turn is {turn.state}"
    return ""
