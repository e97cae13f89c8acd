"""The pure rules of what the gate and the intake may do to a turn."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, Literal

import msgspec

from controlplane.chat.copies import CORRECTING, Corrections
from controlplane.chat.turns import (
    AuditLine,
    ConversationState,
    CopyState,
    Decided,
    DecidedApproval,
    Duplicate,
    Fact,
    Judgement,
    NewApproval,
    NewMessage,
    Plan,
    StopInForce,
    TurnState,
    buried,
    mismatch,
    sha256,
)
from guardrails.verdicts import Verdict

# Kafka never acknowledged it and its sender is gone: it no longer holds up later turns. Nor does
# an answer to a question that the intake cannot find.
UNCONFIRMED_PASSES_AFTER = timedelta(seconds=10)
STOPPED = Verdict(action="escalate", team="general")


class Settlement:
    """Applies facts to conversations whose rows are locked. Pure: it makes a plan."""

    def __init__(
        self,
        conversations: dict[str, ConversationState],
        *,
        stops: Iterable[StopInForce],
        approvals: dict[str, DecidedApproval],
        corrections: Iterable[CopyState] = (),
        upstream: Mapping[str, frozenset[str]],
        now: datetime,
    ) -> None:
        """corrections: the copies that facts name.

        upstream: by the source of a text, the agents whose work is in it.
        """
        self._plan = Plan()
        self._conversations = conversations
        self._counters_before = [known.counters() for known in conversations.values()]
        self._turns_before = {
            turn.id: msgspec.structs.replace(turn)
            for known in conversations.values()
            for turn in known.turns.values()
        }
        self._stops = list(stops)
        self._approvals = approvals
        self._corrections = Corrections(corrections, self._plan, self._stop)
        self._upstream = upstream
        self._now = now

    def apply(self, fact: Fact) -> None:
        conversation = self._conversations[fact.conversation_id]
        if fact.kind in CORRECTING:
            self._corrections.apply(conversation, fact)
            return
        turn = conversation.turns.get(fact.turn_id) or self._open(conversation, fact)
        if fact.kind == "opened" and not turn.text:
            turn.text, turn.client_id = fact.text, fact.client_id
        # A producer of its own may send a text that is empty: it is known all the same.
        turn.is_accepted |= bool(turn.text) or fact.kind == "opened"
        getattr(self, f"_apply_{fact.kind}")(conversation, turn, fact)

    def release(self) -> Plan:
        """Deliver what is ready and no longer waits for an earlier turn; return what to write."""
        for conversation in self._conversations.values():
            self._release(conversation)
        self._plan.turns = [
            turn
            for known in self._conversations.values()
            for turn in known.turns.values()
            if turn != self._turns_before.get(turn.id)
        ]
        counters = [known.counters() for known in self._conversations.values()]
        self._plan.conversations = [
            now
            for now, before in zip(counters, self._counters_before, strict=True)
            if now != before
        ]
        return self._plan

    # What each kind of fact does

    def _apply_opened(
        self, conversation: ConversationState, turn: TurnState, fact: Fact
    ) -> None:
        if turn.number == 1 and not conversation.user:
            conversation.user = fact.user  # an answer came first, and does not name it
        self._tell_question(conversation, turn)

    def _apply_reply(
        self, conversation: ConversationState, turn: TurnState, fact: Fact
    ) -> None:
        if not self._is_first(turn, fact):
            return
        turn.record_id = fact.record_id
        turn.ready_text, turn.kind = fact.text, fact.text_kind
        turn.source = fact.source
        self._judge(conversation, turn, fact)

    def _apply_hold(
        self, conversation: ConversationState, turn: TurnState, fact: Fact
    ) -> None:
        if not self._is_first(turn, fact):
            return
        turn.record_id, turn.source = fact.record_id, fact.source
        self._judge(conversation, turn, fact)
        assert fact.verdict is not None
        self._hold(
            turn, fact.text, team=fact.team, verdict=fact.verdict, why=fact.reason
        )

    def _apply_failed(
        self, conversation: ConversationState, turn: TurnState, fact: Fact
    ) -> None:
        if turn.state == "held":
            self._ask_again(turn, fact)
        if turn.state != "open" or turn.is_ready:
            return
        turn.record_id, turn.reason = fact.record_id, fact.reason
        turn.move("failed")
        self._log("turn_failed", turn, reason=fact.reason)

    def _ask_again(self, turn: TurnState, fact: Fact) -> None:
        """Put before people what one of them decided and the gate cannot carry out."""
        approval = self._approvals.get(fact.approval_id)
        if approval is None or approval.turn_id != turn.id:
            return
        if turn.has_seen(fact.record_id) or turn.has_buried(fact.record_id):
            return
        turn.move(approval.state)
        turn.record_id = buried(fact.record_id)
        if approval.text:
            self._hold(
                turn,
                approval.text,
                team=approval.team,
                verdict=Verdict(action="escalate", team=approval.team),
                why=f"The decision could not be carried out: {fact.reason}",
            )

    def _apply_approved(
        self, conversation: ConversationState, turn: TurnState, fact: Fact
    ) -> None:
        approval = self._decision(turn, fact, "approved")
        if approval is None:
            return
        turn.move("approved")
        turn.record_id, turn.kind, turn.reviewed = fact.record_id, "reply", True
        self._deliver(conversation, turn, fact.text, decided_at=approval.decided_at)

    def _apply_rejected(
        self, conversation: ConversationState, turn: TurnState, fact: Fact
    ) -> None:
        self._close(conversation, turn, fact, "rejected")

    def _apply_expired(
        self, conversation: ConversationState, turn: TurnState, fact: Fact
    ) -> None:
        self._close(conversation, turn, fact, "expired")

    def _close(
        self,
        conversation: ConversationState,
        turn: TurnState,
        fact: Fact,
        state: Decided,
    ) -> None:
        approval = self._decision(turn, fact, state)
        if approval is None:
            return
        by_person_at = approval.decided_at if state == "rejected" else None
        stop = self._stop(conversation, turn, by_person_at)
        turn.move(state)
        turn.record_id, turn.kind = fact.record_id, "safe_text"
        turn.reviewed = state == "rejected"
        self._log(f"reply_{state}", turn, approval=approval.id)
        if fact.text and stop is not None:
            self._divert(turn, fact.text, stop)
        elif fact.text:
            self._write(conversation, turn, fact.text)

    # Deciding

    def _is_first(self, turn: TurnState, fact: Fact) -> bool:
        """The first record wins. The same one again is nothing; another is a duplicate."""
        if turn.state == "open" and not turn.is_ready:
            return True
        if not turn.has_seen(fact.record_id):
            self._tell_duplicate(turn, fact)
        return False

    def _decision(
        self, turn: TurnState, fact: Fact, state: Decided
    ) -> DecidedApproval | None:
        """Return the approval behind a decided record, if PostgreSQL knows of that decision."""
        if turn.has_seen(fact.record_id):
            return None
        approval = self._approvals.get(fact.approval_id)
        problem = mismatch(approval, turn, fact, state)
        if problem:
            self._tell_duplicate(turn, fact)
            self._log("record_refused", turn, reason=problem, record=fact.record_id)
            return None
        return approval

    def _stop(
        self,
        conversation: ConversationState,
        turn: TurnState,
        decided_at: datetime | None,
    ) -> StopInForce | None:
        """Return the hard stop that forbids a delivery not decided by a person after it."""
        for stop in self._stops:
            if decided_at and decided_at > stop.requested_at:
                continue
            if stop.covers(
                conversation=conversation.id,
                workflow=conversation.workflow,
                tier=turn.tier or conversation.tier,
                agents={turn.source} | self._upstream.get(turn.source, frozenset()),
            ):
                return stop
        return None

    # Doing

    def _open(self, conversation: ConversationState, fact: Fact) -> TurnState:
        conversation.latest_turn += 1
        conversation.tier = fact.tier
        turn = TurnState(
            id=fact.turn_id,
            conversation_id=conversation.id,
            number=conversation.latest_turn,
            text=fact.text if fact.kind == "opened" else "",
            trace_id=fact.trace_id,
            tier=fact.tier,
            client_id=fact.client_id,
            created_at=self._now,
        )
        conversation.turns[turn.id] = turn
        return turn

    def _tell_question(self, conversation: ConversationState, turn: TurnState) -> None:
        """Add it to the transcript in the order of Kafka, or where its turn is passed.

        Other records may come before the intake reads the question and those before it. One that
        is known only after its answer stays away: the answer names it.
        """
        if turn.is_accepted and turn.text and not turn.lines:
            self._add(conversation, turn, role="user", text=turn.text, kind="")

    def _release(self, conversation: ConversationState) -> None:
        by_number = {turn.number: turn for turn in conversation.turns.values()}
        for number, turn in sorted(by_number.items()):
            if number <= conversation.passed_turn:
                self._pass(conversation, turn)
        while (waiting := by_number.get(conversation.passed_turn + 1)) is not None:
            if self._holds_up(waiting):
                return
            self._pass(conversation, waiting)
            conversation.passed_turn += 1

    def _pass(self, conversation: ConversationState, turn: TurnState) -> None:
        self._tell_question(conversation, turn)
        if turn.is_ready:
            self._deliver(conversation, turn, turn.ready_text, decided_at=None)

    def _holds_up(self, turn: TurnState) -> bool:
        """Open, without an answer or the question to it, and not given up."""
        is_due = turn.is_ready and turn.is_accepted
        return turn.state == "open" and not is_due and not self._is_abandoned(turn)

    def _is_abandoned(self, turn: TurnState) -> bool:
        age = self._now - turn.created_at
        return not turn.is_accepted and age > UNCONFIRMED_PASSES_AFTER

    def _deliver(
        self,
        conversation: ConversationState,
        turn: TurnState,
        text: str,
        *,
        decided_at: datetime | None,
    ) -> None:
        stop = self._stop(conversation, turn, decided_at)
        if stop is not None:
            self._divert(turn, text, stop)
            return
        turn.move("delivered")
        turn.ready_text = ""
        self._write(conversation, turn, text)

    def _divert(self, turn: TurnState, text: str, stop: StopInForce) -> None:
        """Put before people what a hard stop keeps from the user."""
        self._hold(turn, text, team="general", verdict=STOPPED, why=stop.why)

    def _hold(
        self, turn: TurnState, text: str, *, team: str, verdict: Verdict, why: str
    ) -> None:
        turn.move("held")
        turn.held_records |= {turn.record_id}
        turn.ready_text = ""
        self._plan.approvals.append(
            NewApproval(
                turn_id=turn.id,
                record_id=turn.record_id,
                team=team,
                text=text,
                why=why,
                verdict=verdict,
            )
        )
        self._log("reply_held", turn, team=team, why=why)

    def _write(
        self, conversation: ConversationState, turn: TurnState, text: str
    ) -> None:
        self._tell_question(conversation, turn)
        self._add(conversation, turn, role="assistant", text=text, kind=turn.kind)
        self._log(
            "reply_delivered",
            turn,
            sha256=sha256(text),
            seq=conversation.latest_seq,
            kind=turn.kind,
            reviewed=turn.reviewed,
            record=turn.record_id,
        )

    def _add(
        self,
        conversation: ConversationState,
        turn: TurnState,
        *,
        role: Literal["user", "assistant"],
        text: str,
        kind: str,
    ) -> None:
        conversation.latest_seq += 1
        turn.lines |= {role}
        self._plan.messages.append(
            NewMessage(
                conversation_id=conversation.id,
                seq=conversation.latest_seq,
                turn_id=turn.id,
                role=role,
                text=text,
                kind=kind,
                reviewed=turn.reviewed and role == "assistant",
            )
        )

    def _judge(
        self, conversation: ConversationState, turn: TurnState, fact: Fact
    ) -> None:
        """Keep what the guard said, whatever stops and people make of the reply."""
        if fact.is_flagged is None:
            return
        self._plan.judgements.append(
            Judgement(
                turn_id=turn.id,
                workflow=conversation.workflow,
                tier=turn.tier or conversation.tier,
                source=fact.source,
                is_flagged=fact.is_flagged,
            )
        )

    def _tell_duplicate(self, turn: TurnState, fact: Fact) -> None:
        self._plan.duplicates.append(
            Duplicate(
                record_id=fact.record_id,
                turn_id=turn.id,
                coordinates=fact.coordinates,
                state=turn.state,
            )
        )

    def _log(self, action: str, turn: TurnState, **detail: Any) -> None:
        self._plan.audit.append(
            AuditLine(
                action=action,
                subject=f"turn:{turn.id}",
                trace_id=turn.trace_id,
                detail=detail,
            )
        )
