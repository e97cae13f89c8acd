"""Whatever the order of records, repeats, decisions and stops: one turn, one outcome.

And of each correction one line, or none.
"""

import copy
from datetime import UTC, datetime, timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
)

from controlplane.chat.settlement import UNCONFIRMED_PASSES_AFTER, Settlement
from controlplane.chat.turns import (
    ConversationState,
    CopyState,
    Decided,
    DecidedApproval,
    Fact,
    NewMessage,
    Plan,
    StopInForce,
    TurnState,
    sha256,
)
from tests.chat.making import (
    CORRECTED,
    correction,
    decided,
    failed,
    hold,
    opened,
    reply,
)

TURNS = ["t1", "t2", "t3", "t4"]


def facts() -> st.SearchStrategy[Fact]:
    turn, record = st.sampled_from(TURNS), st.sampled_from(["r1", "r2"])
    return st.one_of(
        turn.map(opened),
        st.builds(
            lambda t, r: reply(t, record_id=f"{t}-{r}", text=f"{t} {r}"), turn, record
        ),
        st.builds(
            lambda t, r: hold(t, record_id=f"{t}-h{r}", text=f"{t} {r}"), turn, record
        ),
        turn.map(failed),
        st.builds(  # a decision that nobody took
            lambda t: decided("approved", "forged", t, text="free car"), turn
        ),
    )


def record_of(copy: CopyState, **fields: str) -> Fact:
    return correction(copy.correction_id, copy.turn_id, tries=copy.tries, **fields)


class Interleavings(RuleBasedStateMachine):
    """One conversation as PostgreSQL keeps it between settlements."""

    def __init__(self) -> None:
        super().__init__()
        self.now = datetime(2026, 11, 21, tzinfo=UTC)
        self.kept = ConversationState(
            id="c1",
            tier="free",
            workflow="chat",
            latest_turn=0,
            passed_turn=0,
            latest_seq=0,
        )
        self.turns: dict[str, TurnState] = {}
        self.messages: list[NewMessage] = []
        self.stops: list[StopInForce] = []
        self.pending: dict[str, tuple[str, str]] = {}
        self.decided: dict[str, DecidedApproval] = {}
        self.records: list[Fact] = []
        self.late: set[str] = set()
        self.opened: set[str] = set()
        self.copies: list[CopyState] = []

    @initialize(is_answered=st.booleans())
    def a_conversation_begins(self, *, is_answered: bool) -> None:
        if is_answered:
            self.settle([opened("t1"), reply("t1", record_id="t1-r1", text="t1 r1")])

    @rule(turn=st.sampled_from(TURNS))
    def ingress_numbers(self, turn: str) -> None:
        if turn not in self.turns:
            self.kept.latest_turn += 1
            self.turns[turn] = TurnState(
                id=turn,
                conversation_id="c1",
                number=self.kept.latest_turn,
                text=f"question {turn}",
                trace_id="",
                created_at=self.now,
            )

    @rule(batch=st.lists(facts(), min_size=1, max_size=5))
    def records_arrive(self, batch: list[Fact]) -> None:
        self.settle(batch)

    @precondition(lambda self: self.records)
    @rule(data=st.data())
    def a_record_arrives_again(self, data: st.DataObject) -> None:
        fact = data.draw(st.sampled_from(self.records))
        before = copy.deepcopy((self.turns, self.kept))
        plan = self.settle([fact])
        was_known = before[0].get(fact.turn_id)
        if was_known is not None and was_known.record_id == fact.record_id:
            changed = self.turns[fact.turn_id]
            assert changed.state == was_known.state or was_known.is_ready
            assert not plan.duplicates

    @precondition(lambda self: self.pending)
    @rule(data=st.data(), state=st.sampled_from(["approved", "rejected"]))
    def a_person_decides(self, data: st.DataObject, state: Decided) -> None:
        approval = data.draw(st.sampled_from(sorted(self.pending)))
        turn, text = self.pending.pop(approval)
        self.now += timedelta(milliseconds=1)
        self.decided[approval] = DecidedApproval(
            approval, turn, state, sha256(text), self.now, text, "general"
        )
        self.records.append(decided(state, approval, turn, text=text))

    @precondition(lambda self: self.decided)
    @rule(data=st.data())
    def the_gate_fails_on_a_decision(self, data: st.DataObject) -> None:
        approval = self.decided[data.draw(st.sampled_from(sorted(self.decided)))]
        record = f"{approval.state}-{approval.id}"
        self.settle(
            [failed(approval.turn_id, record_id=record, approval_id=approval.id)]
        )

    @precondition(lambda self: self.reached())
    @rule(data=st.data(), unseen=st.integers(0, 1))
    def a_person_writes_a_correction(self, data: st.DataObject, unseen: int) -> None:
        self.now += timedelta(milliseconds=1)
        copy = CopyState(
            id=len(self.copies),
            correction_id=f"k{len(self.copies)}",
            conversation_id="c1",
            turn_id=data.draw(st.sampled_from(self.reached())),
            seen_turn=self.kept.latest_turn - unseen,
            confirmed=False,
            asked_at=self.now,
            tries=1,
            state="owed",
            text_sha256=sha256(CORRECTED),
        )
        self.copies.append(copy)
        self.records.append(record_of(copy))

    @precondition(lambda self: self.refused())
    @rule(data=st.data())
    def a_person_confirms_a_correction(self, data: st.DataObject) -> None:
        copy = self.copies[data.draw(st.sampled_from(self.refused()))]
        self.now += timedelta(milliseconds=1)
        copy.move("owed")
        copy.confirmed, copy.asked_at, copy.tries = True, self.now, copy.tries + 1
        self.records.append(record_of(copy))

    @precondition(lambda self: self.copies)
    @rule(data=st.data())
    def the_gate_reads_a_correction(self, data: st.DataObject) -> None:
        self.settle([record_of(data.draw(st.sampled_from(self.copies)))])

    @precondition(lambda self: self.copies)
    @rule(data=st.data())
    def the_gate_fails_on_a_correction(self, data: st.DataObject) -> None:
        copy = data.draw(st.sampled_from(self.copies))
        self.settle([record_of(copy, kind="correction_failed")])

    @precondition(lambda self: self.copies)
    @rule(data=st.data())
    def somebody_forges_a_correction(self, data: st.DataObject) -> None:
        copy = data.draw(st.sampled_from(self.copies))
        before = copy.state
        self.settle([record_of(copy, text="free car")])
        assert self.copies[copy.id].state == before

    @rule()
    def a_hard_stop_comes(self) -> None:
        self.now += timedelta(milliseconds=1)
        self.stops = [StopInForce("everything", "", self.now)]

    @rule()
    def the_stop_is_released(self) -> None:
        self.stops = []

    @rule(seconds=st.sampled_from([1, 11]))
    def time_passes(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    @rule()
    def the_sweeper_pokes(self) -> None:
        self.settle([])

    def settle(self, batch: list[Fact]) -> Plan:
        self.records += batch
        named = {fact.turn_id for fact in batch}
        conversation = copy.deepcopy(self.kept)
        conversation.turns = {  # as settle() reads them
            name: copy.deepcopy(turn)
            for name, turn in self.turns.items()
            if turn.number > self.kept.passed_turn or name in named
        }
        for turn in conversation.turns.values():
            turn.lines = frozenset(
                line.role for line in self.messages if line.turn_id == turn.id
            )
        settlement = Settlement(
            {"c1": conversation},
            stops=self.stops,
            approvals=dict(self.decided),
            corrections=copy.deepcopy(self.copies),
            upstream={},
            now=self.now,
        )
        for fact in batch:
            settlement.apply(fact)
        plan = settlement.release()
        self.opened |= {fact.turn_id for fact in batch if fact.kind == "opened"}
        self.check_questions(plan, conversation)
        self.keep(plan, conversation)
        self.check(plan)
        return plan

    def keep(self, plan: Plan, conversation: ConversationState) -> None:
        self.late |= {
            turn.id
            for turn in conversation.turns.values()
            if turn.number <= self.kept.passed_turn and turn.state == "open"
        } | {
            turn.id
            for turn in conversation.turns.values()
            if turn.number <= conversation.passed_turn and turn.state == "open"
        }
        for turn in plan.turns:
            self.turns[turn.id] = turn
        for turn in conversation.turns.values():
            assert turn.state == self.turns[turn.id].state, "changed and not written"
        self.kept = conversation
        self.kept.turns = {}
        self.check_corrections(plan)
        self.messages += plan.messages
        for kept in plan.copies:
            self.copies[kept.id] = kept
        for held in plan.approvals:
            assert held.turn_id not in {turn for turn, _ in self.pending.values()}
            key = f"a{len(self.pending) + len(self.decided)}"
            self.pending[key] = (held.turn_id, held.text)

    def check(self, plan: Plan) -> None:
        assert [line.seq for line in self.messages] == list(
            range(1, len(self.messages) + 1)
        )
        by_person = {approval.turn_id: approval for approval in self.decided.values()}
        own = [line for line in self.messages if line.copy_id is None]
        for role in ("user", "assistant"):
            told = [line.turn_id for line in own if line.role == role]
            assert len(told) == len(set(told))
        replies = [line for line in own if line.role == "assistant"]
        in_order = [
            self.turns[line.turn_id].number
            for line in replies
            if not line.reviewed and line.turn_id not in self.late
        ]
        assert in_order == sorted(in_order)
        for line in replies:
            assert line.text != "free car"
            assert line.reviewed == (line.turn_id in by_person)
            if line.reviewed:
                assert sha256(line.text) in {
                    approval.text_sha256
                    for approval in self.decided.values()
                    if approval.turn_id == line.turn_id
                }
        self.check_stop(plan)
        self.check_held_turns_wait_for_somebody()
        self.check_nothing_is_stuck()

    def check_questions(self, plan: Plan, conversation: ConversationState) -> None:
        """A question comes before its answer, and after earlier ones that may still come.

        It goes ahead where Kafka has it first, or where a person answered it.
        """
        told = [*self.messages, *plan.messages]
        place = {(line.turn_id, line.role): line.seq for line in told}
        turns = self.turns | {turn.id: turn for turn in plan.turns}
        for line in told:
            if line.role == "assistant" and (line.turn_id, "user") in place:
                assert place[line.turn_id, "user"] < line.seq
        for line in plan.messages:
            if line.role == "user" and line.turn_id not in self.opened:
                assert (
                    line.turn_id in {a.turn_id for a in self.decided.values()}
                ) or all(
                    (earlier.id, "user") in place
                    and place[earlier.id, "user"] < line.seq
                    for earlier in turns.values()
                    if earlier.number < turns[line.turn_id].number
                    and earlier.state == "open"
                    and not self.is_given_up(earlier)
                )

    def check_corrections(self, plan: Plan) -> None:
        """Each is told once, as written, to whoever had not gone on unless a person confirmed it."""
        for line in plan.messages:
            if line.copy_id is not None:
                before = self.copies[line.copy_id]
                assert before.state == "owed"
                assert (line.turn_id, line.text) == (before.turn_id, CORRECTED)
                assert before.confirmed or before.seen_turn == self.kept.latest_turn
                assert all(before.asked_at > each.requested_at for each in self.stops)
        told = [*self.messages, *plan.messages]
        now = dict(enumerate(self.copies)) | {each.id: each for each in plan.copies}
        assert sorted(
            (each.id, each.seq) for each in now.values() if each.seq
        ) == sorted(
            (line.copy_id, line.seq) for line in told if line.copy_id is not None
        )

    def reached(self) -> list[str]:
        return [
            line.turn_id
            for line in self.messages
            if line.role == "assistant" and line.copy_id is None
        ]

    def refused(self) -> list[int]:
        return [copy.id for copy in self.copies if copy.state == "refused"]

    def check_stop(self, plan: Plan) -> None:
        for line in plan.messages:
            if line.role == "assistant" and line.copy_id is None and self.stops:
                assert any(
                    approval.turn_id == line.turn_id
                    and approval.decided_at is not None
                    and approval.decided_at > self.stops[0].requested_at
                    for approval in self.decided.values()
                )

    def check_held_turns_wait_for_somebody(self) -> None:
        """For a person, or for a decided record that neither came nor died."""
        asked = {turn for turn, _ in self.pending.values()}
        for turn in self.turns.values():
            if turn.state == "held" and turn.id not in asked:
                assert any(
                    approval.turn_id == turn.id
                    and not turn.has_seen(f"{approval.state}-{approval.id}")
                    and not turn.has_buried(f"{approval.state}-{approval.id}")
                    for approval in self.decided.values()
                ), f"nobody sees {turn.id}"

    def check_nothing_is_stuck(self) -> None:
        """A ready answer waits only for its question, or for an earlier turn that is open.

        Neither holds it up once it is given up.
        """
        for turn in self.turns.values():
            if turn.is_ready and (turn.is_accepted or self.is_given_up(turn)):
                assert any(
                    earlier.number < turn.number
                    and earlier.state == "open"
                    and not self.is_given_up(earlier)
                    for earlier in self.turns.values()
                ), f"{turn.id} is stuck"

    def is_given_up(self, turn: TurnState) -> bool:
        age = self.now - turn.created_at
        return not turn.is_accepted and age > UNCONFIRMED_PASSES_AFTER


Interleavings.TestCase.settings = settings(
    max_examples=150, stateful_step_count=25, deadline=None
)
TestInterleavings = Interleavings.TestCase
