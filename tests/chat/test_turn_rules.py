"""What each fact does to a turn, one rule at a time."""

from datetime import UTC, datetime, timedelta

import pytest

from agents import registry
from controlplane.chat.settlement import UNCONFIRMED_PASSES_AFTER, Settlement
from controlplane.chat.turns import (
    ConversationState,
    CopyState,
    Decided,
    DecidedApproval,
    Fact,
    Plan,
    StopInForce,
    TurnState,
    sha256,
)
from tests.chat.making import decided, failed, hold, opened, reply

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)


class Case:
    """A conversation that is settled again and again."""

    def __init__(self, **fields: str) -> None:
        defaults = {"id": "c1", "tier": "free", "workflow": "chat"}
        self.conversation = ConversationState(
            **(defaults | fields), latest_turn=0, passed_turn=0, latest_seq=0, turns={}
        )
        self.stops: list[StopInForce] = []
        self.approvals: dict[str, DecidedApproval] = {}
        self.copies: list[CopyState] = []
        self.now = NOW

    def settle(self, *facts: Fact) -> Plan:
        settlement = Settlement(
            {"c1": self.conversation},
            stops=self.stops,
            approvals=self.approvals,
            corrections=self.copies,
            upstream=registry.upstream(),
            now=self.now,
        )
        for fact in facts:
            settlement.apply(fact)
        return settlement.release()

    def number(self, turn: str, *, text: str = "question") -> None:
        """Do what the ingress does: number a turn that Kafka has not confirmed."""
        self.conversation.latest_turn += 1
        self.conversation.turns[turn] = TurnState(
            id=turn,
            conversation_id="c1",
            number=self.conversation.latest_turn,
            text=text,
            trace_id="",
            created_at=self.now,
        )

    def decide(
        self,
        approval: str,
        turn: str = "t1",
        *,
        state: Decided = "approved",
        **fields: object,
    ) -> None:
        text = fields.get("text", f"risky {turn}")
        at = fields.get("at", NOW)
        assert isinstance(text, str)
        assert isinstance(at, datetime)
        self.approvals[approval] = DecidedApproval(
            approval, turn, state, sha256(text), at, text, "discount"
        )

    def stop(
        self, scope: str = "everything", value: str = "", *, at: datetime = NOW
    ) -> None:
        self.stops.append(StopInForce(scope, value, at))

    def state(self, turn: str = "t1") -> str:
        return self.conversation.turns[turn].state


def lines(plan: Plan) -> list[str]:
    return [f"{line.seq} {line.role} {line.text}" for line in plan.messages]


def actions(plan: Plan) -> list[str]:
    return [line.action for line in plan.audit]


def test_a_question_joins_the_transcript_when_kafka_has_it() -> None:
    case = Case()
    case.number("t1", text="question t1")
    assert lines(case.settle()) == []

    assert lines(case.settle(opened())) == ["1 user question t1"]
    assert lines(case.settle(opened())) == []


def test_an_answer_says_that_kafka_had_its_question() -> None:
    case = Case()
    case.number("t1", text="question t1")

    assert lines(case.settle(reply())) == [
        "1 user question t1",
        "2 assistant answer t1",
    ]


def test_an_answer_waits_for_its_question_which_the_intake_reads() -> None:
    case = Case()

    assert lines(case.settle(reply())) == []
    assert lines(case.settle(opened())) == [
        "1 user question t1",
        "2 assistant answer t1",
    ]
    assert case.conversation.latest_turn == 1


def test_an_answer_waits_for_its_question_for_a_bounded_time() -> None:
    case = Case()
    case.settle(reply())
    case.now += UNCONFIRMED_PASSES_AFTER + SECOND

    assert lines(case.settle()) == ["1 assistant answer t1"]
    assert lines(case.settle(opened())) == []  # it would come after its answer
    assert case.conversation.turns["t1"].text == "question t1"


@pytest.mark.parametrize(
    "facts",
    [(opened(text=""), reply()), (reply(), opened(text=""))],
    ids=["question first", "answer first"],
)
def test_an_answer_waits_for_no_text_of_a_question_that_is_empty(
    facts: tuple[Fact, Fact],
) -> None:
    case = Case()

    plans = [case.settle(fact) for fact in facts]

    assert [lines(plan) for plan in plans] == [[], ["1 assistant answer t1"]]
    assert case.conversation.passed_turn == 1


@pytest.mark.parametrize(
    "ahead", [reply("t2"), hold("t2"), failed("t2")], ids=["answer", "hold", "failure"]
)
def test_questions_stay_in_order_where_the_intake_lags_behind(ahead: Fact) -> None:
    case = Case()
    case.number("t1", text="question t1")
    case.number("t2", text="question t2")
    assert lines(case.settle(ahead)) == []

    plan = case.settle(opened("t1"), opened("t2"), reply("t1"))

    assert lines(plan)[:3] == [
        "1 user question t1",
        "2 user question t2",
        "3 assistant answer t1",
    ]


@pytest.mark.parametrize(
    "ahead", [reply("t2"), hold("t2"), failed("t2")], ids=["answer", "hold", "failure"]
)
def test_a_question_is_told_at_the_latest_when_its_turn_is_passed(ahead: Fact) -> None:
    case = Case()
    case.number("t1", text="question t1")
    case.number("t2", text="question t2")
    case.settle(ahead)

    assert lines(case.settle(reply("t1")))[:3] == [
        "1 user question t1",
        "2 assistant answer t1",
        "3 user question t2",
    ]
    assert lines(case.settle(opened("t1"), opened("t2"))) == []


def test_what_a_person_answers_names_its_question_first() -> None:
    case = Case()
    case.number("t1", text="question t1")
    case.number("t2", text="question t2")
    case.settle(hold("t2"))
    case.decide("a1", "t2")

    assert lines(case.settle(decided("approved", "a1", "t2"))) == [
        "1 user question t2",
        "2 assistant risky t2",
    ]


def test_the_same_record_again_changes_nothing() -> None:
    case = Case()
    case.settle(opened(), reply())

    plan = case.settle(opened(), reply())

    assert (plan.messages, plan.approvals, plan.duplicates, plan.audit) == (
        [],
        [],
        [],
        [],
    )


@pytest.mark.parametrize("first", [reply(), hold()], ids=["delivered", "held"])
@pytest.mark.parametrize(
    "second",
    [reply(record_id="other"), hold(record_id="other")],
    ids=["reply", "hold"],
)
def test_another_record_is_a_duplicate_that_nobody_acts_on(
    first: Fact, second: Fact
) -> None:
    case = Case()
    case.settle(opened(), first)
    before = case.state()

    plan = case.settle(second)

    [duplicate] = plan.duplicates
    assert (duplicate.record_id, duplicate.state) == ("other", before)
    assert (plan.messages, plan.approvals, plan.audit) == ([], [], [])
    assert case.state() == before


def test_a_ready_answer_waits_for_the_turn_before_it() -> None:
    case = Case()
    case.settle(opened("t1"), opened("t2"))

    assert lines(case.settle(reply("t2"))) == []
    assert lines(case.settle(reply("t2"))) == []
    assert lines(case.settle(reply("t1"))) == [
        "3 assistant answer t1",
        "4 assistant answer t2",
    ]


@pytest.mark.parametrize("way", [hold("t1"), failed("t1")], ids=["held", "failed"])
def test_a_held_or_failed_turn_lets_the_next_one_pass(way: Fact) -> None:
    case = Case()
    case.settle(opened("t1"), opened("t2"), reply("t2"))

    assert lines(case.settle(way)) == ["3 assistant answer t2"]


def test_an_unconfirmed_turn_holds_up_the_next_one_for_a_bounded_time() -> None:
    case = Case()
    case.number("t1")
    case.settle(opened("t2"))
    case.now += UNCONFIRMED_PASSES_AFTER
    assert lines(case.settle(reply("t2"))) == []

    case.now += SECOND
    assert lines(case.settle()) == ["2 assistant answer t2"]


def test_a_turn_that_was_passed_over_is_answered_when_kafka_has_it_after_all() -> None:
    case = Case()
    case.number("t1", text="question t1")
    case.settle(opened("t2"))
    case.now += UNCONFIRMED_PASSES_AFTER + SECOND
    case.settle(reply("t2"))

    assert lines(case.settle(opened("t1"))) == ["3 user question t1"]
    assert lines(case.settle(reply("t1"))) == ["4 assistant answer t1"]
    assert case.conversation.passed_turn == 2


def test_a_failed_turn_gets_no_late_answer() -> None:
    case = Case()
    case.settle(opened(), failed())

    plan = case.settle(reply())

    assert case.state() == "failed"
    assert plan.messages == []
    assert [duplicate.state for duplicate in plan.duplicates] == ["failed"]


@pytest.mark.parametrize("first", [reply("t2"), hold("t2")], ids=["ready", "held"])
def test_an_answer_that_is_there_outlives_a_failure(first: Fact) -> None:
    case = Case()
    case.settle(opened("t1"), opened("t2"), first)
    before = case.state("t2")

    plan = case.settle(failed("t2"))

    assert case.state("t2") == before
    assert plan.audit == []


def test_a_failure_is_recorded_once_with_its_reason() -> None:
    case = Case()
    case.settle(opened())

    [line] = case.settle(failed(reason="the model is gone"), failed()).audit

    assert (line.action, line.detail) == (
        "turn_failed",
        {"reason": "the model is gone"},
    )


# Decisions


def test_an_approved_answer_is_delivered_as_reviewed() -> None:
    case = Case()
    case.settle(opened(), hold())
    case.decide("a1")

    plan = case.settle(decided("approved", "a1"))

    assert lines(plan) == ["2 assistant risky t1"]
    assert [line.reviewed for line in plan.messages] == [True]
    assert case.state() == "delivered"


@pytest.mark.parametrize(
    ("approval", "fact"),
    [
        pytest.param("a2", decided("approved", "a1"), id="no such approval"),
        pytest.param(
            "a1", decided("approved", "a1", text="free car"), id="not the text"
        ),
        pytest.param("a1", decided("rejected", "a1"), id="the approval is approved"),
    ],
)
def test_a_record_that_postgresql_does_not_confirm_is_refused(
    approval: str, fact: Fact, request: pytest.FixtureRequest
) -> None:
    case = Case()
    case.settle(opened(), hold())
    case.decide(approval)

    plan = case.settle(fact)

    assert case.state() == "held"
    assert plan.messages == []
    assert [line.action for line in plan.audit] == ["record_refused"]
    assert request.node.callspec.id in plan.audit[0].detail["reason"]


def test_an_approval_of_another_turn_is_refused() -> None:
    case = Case()
    case.settle(opened("t1"), hold("t1"), opened("t2"), hold("t2", text="risky t1"))
    case.decide("a1", "t1")

    plan = case.settle(decided("approved", "a1", "t2", text="risky t1"))

    assert case.state("t2") == "held"
    assert plan.messages == []


def test_a_decided_record_for_a_turn_that_is_not_held_is_refused() -> None:
    case = Case()
    case.settle(opened(), reply())
    case.decide("a1")

    plan = case.settle(decided("approved", "a1"))

    assert plan.messages == []
    assert plan.audit[0].detail["reason"] == "the turn is delivered"


def test_a_decision_again_changes_nothing() -> None:
    case = Case()
    case.settle(opened(), hold())
    case.decide("a1")
    case.settle(decided("approved", "a1"))

    plan = case.settle(decided("approved", "a1"))

    assert (plan.messages, plan.duplicates, plan.audit) == ([], [], [])


def test_the_record_that_was_held_is_no_duplicate_of_its_own_decision() -> None:
    case = Case()
    case.settle(opened(), hold())
    case.decide("a1")
    case.settle(decided("approved", "a1"))

    plan = case.settle(hold())

    assert (plan.messages, plan.duplicates, plan.audit) == ([], [], [])


def test_a_decision_that_a_stop_held_back_is_nothing_new_when_it_comes_again() -> None:
    case = Case()
    case.settle(opened(), hold())
    case.stop(at=NOW)
    case.decide("a1", at=NOW)
    case.settle(decided("approved", "a1"))
    case.decide("a2", at=NOW + SECOND)
    case.settle(decided("approved", "a2"))

    plan = case.settle(decided("approved", "a1"))

    assert (plan.messages, plan.duplicates, plan.audit) == ([], [], [])


@pytest.mark.parametrize("state", ["rejected", "expired"])
def test_a_closed_turn_may_deliver_a_safe_text(state: Decided) -> None:
    case = Case()
    case.settle(opened(), hold())
    case.decide("a1", state=state, text="sorry")

    plan = case.settle(decided(state, "a1", text="sorry"))

    assert lines(plan) == ["2 assistant sorry"]
    assert [line.kind for line in plan.messages] == ["safe_text"]
    assert [line.reviewed for line in plan.messages] == [state == "rejected"]
    assert actions(plan) == [f"reply_{state}", "reply_delivered"]


@pytest.mark.parametrize("state", ["rejected", "expired"])
def test_a_closed_turn_without_a_text_delivers_nothing(state: Decided) -> None:
    case = Case()
    case.settle(opened(), hold())
    case.decide("a1", state=state, text="")

    plan = case.settle(decided(state, "a1", text=""))

    assert case.state() == state
    assert plan.messages == []


# Decisions that the gate cannot carry out


def buried(approval: str = "a1", kind: str = "approved", **fields: str) -> Fact:
    """Return what the dead letter of a decided record says."""
    defaults = {"record_id": f"{kind}-{approval}", "reason": "boom"}
    return failed(approval_id=approval, **(defaults | fields))


@pytest.mark.parametrize("state", ["approved", "rejected", "expired"])
def test_people_are_asked_again_about_what_could_not_be_carried_out(
    state: Decided,
) -> None:
    case = Case()
    case.settle(opened(), hold())
    case.decide("a1", state=state, text="decided")

    plan = case.settle(buried(kind=state))

    assert case.state() == "held"
    assert plan.messages == []
    [asked] = plan.approvals
    assert (asked.text, asked.team) == ("decided", "discount")
    assert asked.why == "The decision could not be carried out: boom"
    assert actions(plan) == ["reply_held"]


def test_the_same_letter_again_asks_nobody() -> None:
    case = Case()
    case.settle(opened(), hold())
    case.decide("a1")
    case.settle(buried())
    case.decide("a2")  # whose record is still on its way

    plan = case.settle(buried())

    assert (plan.messages, plan.approvals, plan.audit) == ([], [], [])
    assert lines(case.settle(decided("approved", "a2"))) == ["2 assistant risky t1"]


@pytest.mark.parametrize("second", ["pending", "rejected"])
def test_a_record_that_comes_back_from_the_dead_letters_is_a_duplicate(
    second: str,
) -> None:
    case = Case()
    case.settle(opened(), hold())
    case.decide("a1")
    case.settle(buried())
    if second == "rejected":
        case.decide("a2", state="rejected", text="sorry")

    plan = case.settle(decided("approved", "a1"))

    assert plan.messages == []
    assert [duplicate.state for duplicate in plan.duplicates] == ["held"]
    assert (
        plan.audit[0].detail["reason"] == "it had failed, and people were asked again"
    )
    assert case.state() == "held"


def test_a_rejection_without_a_text_needs_nobody_again() -> None:
    case = Case()
    case.settle(opened(), hold())
    case.decide("a1", state="rejected", text="")

    plan = case.settle(buried(kind="rejected"))

    assert case.state() == "rejected"
    assert (plan.messages, plan.approvals) == ([], [])


@pytest.mark.parametrize(
    "letter",
    [buried(""), buried("a2"), buried("a3")],
    ids=["no approval", "not decided", "of another turn"],
)
def test_a_letter_about_no_decision_of_a_held_turn_changes_nothing(
    letter: Fact,
) -> None:
    case = Case()
    case.settle(opened(), hold())
    case.decide("a3", "another")

    plan = case.settle(letter)

    assert case.state() == "held"
    assert (plan.approvals, plan.duplicates, plan.audit) == ([], [], [])


def test_a_letter_about_what_was_carried_out_all_the_same_changes_nothing() -> None:
    case = Case()
    case.settle(opened(), hold())
    case.decide("a1")
    case.settle(decided("approved", "a1"))

    plan = case.settle(buried())

    assert case.state() == "delivered"
    assert (plan.approvals, plan.duplicates, plan.audit) == ([], [], [])


def test_a_letter_about_what_a_stop_held_back_asks_nobody_a_second_time() -> None:
    case = Case()
    case.settle(opened(), hold())
    case.stop(at=NOW)
    case.decide("a1", at=NOW)
    case.settle(decided("approved", "a1"))

    plan = case.settle(buried())

    assert (plan.approvals, plan.duplicates, plan.audit) == ([], [], [])


# Hard stops


def test_a_hard_stop_puts_an_answer_before_people() -> None:
    case = Case()
    case.stop()

    plan = case.settle(opened(), reply())

    assert lines(plan) == ["1 user question t1"]
    assert [(held.team, held.text, held.why) for held in plan.approvals] == [
        ("general", "answer t1", "Hard stop on everything")
    ]
    assert case.state() == "held"


def test_a_ready_answer_that_waited_is_checked_when_it_is_released() -> None:
    case = Case()
    case.settle(opened("t1"), opened("t2"), reply("t2"))
    case.stop()

    plan = case.settle(reply("t1"))

    assert plan.messages == []
    assert [held.turn_id for held in plan.approvals] == ["t1", "t2"]


@pytest.mark.parametrize(
    ("scope", "value"),
    [
        ("everything", ""),
        ("workflow", "chat"),
        ("agent", "output-guard"),
        ("tier", "free"),
        ("conversation", "c1"),
    ],
)
def test_each_scope_covers_what_it_names_and_nothing_else(
    scope: str, value: str
) -> None:
    covered, other = Case(), Case()
    covered.stop(scope, value)
    other.stop(scope, "other")

    assert covered.settle(opened(), reply()).approvals
    assert not other.settle(opened(), reply()).approvals


@pytest.mark.parametrize("agent", ["responder", "tier-router", "input-guard"])
def test_a_stop_of_an_agent_covers_answers_that_its_work_is_in(agent: str) -> None:
    case = Case()
    case.stop("agent", agent)

    plan = case.settle(opened(), reply(source="output-guard"))

    assert [held.why for held in plan.approvals] == [f"Hard stop on agent {agent}"]


@pytest.mark.parametrize("agent", ["responder", "tier-router", "output-guard"])
def test_a_stop_of_an_agent_lets_pass_a_refusal_from_before_it(agent: str) -> None:
    case = Case()
    case.stop("agent", agent)

    case.settle(opened(), reply(source="input-guard", text_kind="refusal"))

    assert case.state() == "delivered"


@pytest.mark.parametrize(
    ("scope", "value"),
    [("everything", ""), ("agent", "output-guard"), ("tier", "free")],
)
def test_only_a_decision_after_the_stop_passes_it(scope: str, value: str) -> None:
    case = Case()
    case.settle(opened(), hold())
    case.stop(scope, value, at=NOW)
    case.decide("a1", at=NOW)

    plan = case.settle(decided("approved", "a1"))

    assert plan.messages == []
    assert [held.text for held in plan.approvals] == ["risky t1"]
    assert case.state() == "held"
    case.decide("a2", at=NOW + SECOND)
    assert lines(case.settle(decided("approved", "a2"))) == ["2 assistant risky t1"]


@pytest.mark.parametrize("state", ["rejected", "expired"])
def test_a_safe_text_decided_before_the_stop_waits_for_a_person(state: Decided) -> None:
    case = Case()
    case.settle(opened(), hold())
    case.stop(at=NOW)
    case.decide("a1", state=state, text="sorry", at=NOW)

    plan = case.settle(decided(state, "a1", text="sorry"))

    assert plan.messages == []
    assert [held.text for held in plan.approvals] == ["sorry"]
    assert case.state() == "held"


@pytest.mark.parametrize(
    ("state", "after"), [("rejected", "rejected"), ("expired", "held")]
)
def test_during_a_stop_a_deadline_is_no_persons_decision(
    state: Decided, after: str
) -> None:
    case = Case()
    case.settle(opened(), hold())
    case.stop(at=NOW)
    case.decide("a1", state=state, text="sorry", at=NOW + SECOND)

    plan = case.settle(decided(state, "a1", text="sorry"))

    assert (case.state(), len(plan.messages)) == (after, after == "rejected")
    assert [held.text for held in plan.approvals] == ["sorry"] * (after == "held")


def test_releasing_a_stop_releases_no_held_answer() -> None:
    case = Case()
    case.stop()
    case.settle(opened(), reply())
    case.stops.clear()

    assert case.settle(reply()).messages == []
    assert case.state() == "held"
