"""The contracts: what agents read and write, one frozen struct per kind of event."""

from datetime import datetime
from typing import Literal

import msgspec

from guardrails.verdicts import Verdict


class Payload(msgspec.Struct, frozen=True, kw_only=True):
    """The value of a record. Unknown fields are ignored, so that a producer may add some."""


class UserMessage(Payload, frozen=True, kw_only=True):
    """What an end user wrote, as it came in. The id of its record is the turn's id."""

    conversation_id: str
    text: str
    user: str = ""  # a pseudonym, never a name
    tier: str = "free"
    client_id: str = ""
    wants_person: bool = False  # a person is to answer, no model


class TurnEvent(Payload, frozen=True, kw_only=True):
    """Something that happens to one turn: one user message and what becomes of it."""

    turn_id: str
    conversation_id: str
    tier: str


class CleanedMessage(TurnEvent, frozen=True, kw_only=True):
    text: str
    user: str = ""
    verdict: Verdict


class BlockedMessage(TurnEvent, frozen=True, kw_only=True):
    """A message that no agent will answer; reply is the refusal that the user gets."""

    text: str
    reply: str
    verdict: Verdict


class ModelRequest(TurnEvent, frozen=True, kw_only=True):
    """A cleaned message on its tier's lane, waiting for a model."""

    text: str
    user: str = ""


class RawResponse(TurnEvent, frozen=True, kw_only=True):
    """What the model answered, unchecked. confidence: how sure it was, 0 to 1, where it says so."""

    question: str
    text: str
    kind: Literal["reply", "fallback"] = "reply"
    backend: str
    model: str
    finish_reason: str = ""
    latency_ms: float = 0.0
    confidence: float | None = None


class FlaggedResponse(TurnEvent, frozen=True, kw_only=True):
    """An answer that was replaced: kept for people to look at, delivered to nobody."""

    question: str
    text: str
    replaced_by: str
    verdict: Verdict


class FinalResponse(TurnEvent, frozen=True, kw_only=True):
    """A text that may go to the user, once the gate agrees."""

    text: str
    kind: Literal["reply", "fallback"] = "reply"
    verdict: Verdict


class PendingResponse(TurnEvent, frozen=True, kw_only=True):
    """An answer that waits for a person of the team."""

    question: str
    text: str
    team: str
    verdict: Verdict


class CorrectionCopy(Payload, frozen=True, kw_only=True):
    """Which correction a text is, and what whoever sent it had seen of the conversation."""

    correction_id: str
    seen_turn: int  # the latest one
    asked_at: datetime
    confirmed: bool = False  # send it even if the conversation has moved on
    stop_id: str = ""  # of the stop after which it was written


class DecidedResponse(TurnEvent, frozen=True, kw_only=True):
    """A person's decision on a held answer. text is what the user is to get, if anything.

    With a correction it is that, of an answer that the turn had: then there is no approval.
    """

    approval_id: str
    text: str
    text_sha256: str
    decided_by: str
    reason: str = ""
    correction: CorrectionCopy | None = None


class Feedback(TurnEvent, frozen=True, kw_only=True):
    """What the user says of the answer to a turn. Of several, the last in the topic counts."""

    seq: int  # the answer's number in its conversation
    rating: Literal["up", "down"]
    reason: str = ""


class SendMail(Payload, frozen=True, kw_only=True):
    """A mail to one address, as plain text. The same record is sent at most once."""

    to: str
    subject: str
    text: str


class ControlChange(Payload, frozen=True, kw_only=True):
    """The published history of control state. For others to read: nobody here obeys it."""

    version: int
    kind: str
    subject: str
    detail: dict[str, str]
    actor: str
    reason: str = ""
