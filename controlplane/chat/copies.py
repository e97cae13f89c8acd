"""What records may do to corrections: one copy for each conversation that is to get it. Pure."""

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

from agents import topics
from agents.cloudevents import derive_id
from controlplane.chat.turns import (
    AuditLine,
    ConversationState,
    CopyState,
    Fact,
    FactKind,
    NewMessage,
    Plan,
    StopInForce,
    TurnState,
    sha256,
)

SOURCE = "corrections"  # who writes the records, as their headers name it
KIND = "correction"  # of the line
CORRECTING: frozenset[FactKind] = frozenset({"correction", "correction_failed"})
SUBJECT_MAX_CHARS = 200  # that the audit log has room for

# The hard stop that forbids what a person asked for before it, at that time.
StopAgainst = Callable[[ConversationState, TurnState, datetime], StopInForce | None]


class Corrections:
    """Tells corrections, or says why not. The turns that they are about stay as they are."""

    def __init__(
        self, copies: Iterable[CopyState], plan: Plan, stop_against: StopAgainst
    ) -> None:
        self._copies = {
            (copy.correction_id, copy.conversation_id): copy for copy in copies
        }
        self._plan = plan
        self._stop_against = stop_against

    def apply(self, conversation: ConversationState, fact: Fact) -> None:
        copy = self._copies.get((fact.correction_id, conversation.id))
        turn = conversation.turns.get(fact.turn_id)
        problem = _mismatch(copy, fact)
        if copy is None or turn is None or problem:
            self._log("record_refused", fact, turn, reason=problem)
        elif _is_awaited(copy, fact):
            stop = self._stop_against(conversation, turn, copy.asked_at)
            copy.why = _obstacle(copy, fact, conversation, stop)
            copy.move("refused" if copy.why else "delivered")
            self._plan.copies.append(copy)
            if copy.why:
                self._log("correction_refused", fact, turn, why=copy.why)
            else:
                self._tell(conversation, turn, copy, fact)

    def _tell(
        self,
        conversation: ConversationState,
        turn: TurnState,
        copy: CopyState,
        fact: Fact,
    ) -> None:
        conversation.latest_seq += 1
        copy.seq = conversation.latest_seq
        line = NewMessage(
            conversation_id=conversation.id,
            seq=copy.seq,
            turn_id=turn.id,
            role="assistant",
            text=fact.text,
            kind=KIND,
            reviewed=True,
            copy_id=copy.id,
        )
        self._plan.messages.append(line)
        told = {"sha256": copy.text_sha256, "seq": line.seq}
        self._log("correction_delivered", fact, turn, **told)

    def _log(
        self, action: str, fact: Fact, turn: TurnState | None, **detail: Any
    ) -> None:
        about = {"correction": fact.correction_id, "record": fact.record_id}
        line = AuditLine(
            action=action,
            subject=f"turn:{fact.turn_id}"[:SUBJECT_MAX_CHARS],
            trace_id=turn.trace_id if turn else fact.trace_id,
            detail=about | detail,
        )
        self._plan.audit.append(line)


def record_id_of(correction_id: str, conversation_id: str, tries: int) -> str:
    """Return the id of the record of one try: written again it is the same."""
    parent = f"{correction_id}:{conversation_id}"
    return derive_id(parent, SOURCE, topics.RESPONSES_APPROVED, tries)


def _is_awaited(copy: CopyState, fact: Fact) -> bool:
    """Tell whether the copy is owed because of this record: those of earlier tries are over."""
    own = record_id_of(copy.correction_id, copy.conversation_id, copy.tries)
    return copy.state == "owed" and fact.record_id == own


def _mismatch(copy: CopyState | None, fact: Fact) -> str:
    """Return what is wrong with a record that says it is a correction, or nothing."""
    if copy is None or copy.turn_id != fact.turn_id:
        return "no such correction"
    if fact.kind == "correction" and copy.text_sha256 != sha256(fact.text):
        return "not the text of the correction"
    return ""


def _obstacle(
    copy: CopyState,
    fact: Fact,
    conversation: ConversationState,
    stop: StopInForce | None,
) -> str:
    """Return why the copy may not be delivered, or nothing."""
    if fact.kind == "correction_failed":
        return f"It could not be carried out: {fact.reason}"
    if stop is not None:
        scope = f"{stop.scope} {stop.value}".strip()
        return f"A hard stop on {scope} came after it was asked for."
    if conversation.latest_turn > copy.seen_turn and not copy.confirmed:
        return "The conversation has moved on."
    return ""
