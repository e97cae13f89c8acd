"""What the gate does with a correction, one rule at a time."""

from datetime import timedelta
from typing import Any, get_args

import pytest

from controlplane.chat.models import CorrectionCopy
from controlplane.chat.turns import (
    COPY_TRANSITIONS,
    CopyState,
    CopyStateName,
    Fact,
    TransitionError,
    sha256,
)
from tests.chat.making import CORRECTED, CORRECTION, correction, opened, reply
from tests.chat.test_turn_rules import NOW, SECOND, Case, actions, lines

FAILED = "correction_failed"


class Corrected(Case):
    """A conversation that was answered, and is to be corrected by somebody who saw all of it."""

    def __init__(self, **fields: Any) -> None:
        super().__init__()
        self.settle(opened(), reply(), opened("t2"), reply("t2"))
        defaults: dict[str, Any] = {
            "id": 7,
            "correction_id": CORRECTION,
            "conversation_id": "c1",
            "turn_id": "t1",
            "seen_turn": 2,
            "confirmed": False,
            "asked_at": NOW,
            "tries": 1,
            "state": "owed",
            "text_sha256": sha256(CORRECTED),
        }
        self.copy = CopyState(**(defaults | fields))
        self.copies = [self.copy]


def test_a_correction_is_told_after_all_else_and_names_its_turn() -> None:
    case = Corrected()

    plan = case.settle(correction())

    assert lines(plan) == [f"5 assistant {CORRECTED}"]
    [line] = plan.messages
    assert (line.turn_id, line.kind, line.reviewed, line.copy_id) == (
        "t1",
        "correction",
        True,
        7,
    )
    assert (case.copy.state, case.copy.seq) == ("delivered", 5)
    assert plan.copies == [case.copy]
    [logged] = plan.audit
    assert (logged.action, logged.subject) == ("correction_delivered", "turn:t1")
    assert logged.detail == {
        "correction": CORRECTION,
        "record": correction().record_id,
        "sha256": sha256(CORRECTED),
        "seq": 5,
    }


def test_the_turn_that_it_is_about_stays_as_it_is() -> None:
    case = Corrected()

    plan = case.settle(correction())

    assert plan.turns == []
    assert [(each.latest_seq, each.latest_turn) for each in plan.conversations] == [
        (5, 2)
    ]


@pytest.mark.parametrize("together", [True, False], ids=["in one batch", "later"])
def test_the_same_record_again_tells_nothing_more(*, together: bool) -> None:
    case = Corrected()

    plans = (
        [case.settle(correction(), correction())]
        if together
        else [case.settle(correction()), case.settle(correction())]
    )

    assert sum(len(plan.messages) for plan in plans) == 1
    assert sum(len(plan.audit) for plan in plans) == 1


def test_where_the_conversation_has_moved_on_it_is_refused_and_says_so() -> None:
    case = Corrected(seen_turn=1)

    plan = case.settle(correction())

    assert (plan.messages, plan.conversations) == ([], [])
    assert (case.copy.state, case.copy.why) == (
        "refused",
        "The conversation has moved on.",
    )
    assert actions(plan) == ["correction_refused"]
    assert case.settle(correction()).audit == []  # and once


def test_a_question_that_is_only_numbered_moves_a_conversation_on() -> None:
    case = Corrected()
    case.number("t3")

    case.settle(correction())

    assert case.copy.state == "refused"


def test_what_a_person_confirmed_is_told_all_the_same() -> None:
    case = Corrected(seen_turn=1, confirmed=True, tries=2)

    assert lines(case.settle(correction(tries=2))) == [f"5 assistant {CORRECTED}"]


def test_a_record_of_an_earlier_try_says_nothing() -> None:
    case = Corrected(tries=2)

    plan = case.settle(correction(tries=1), correction(tries=1, kind=FAILED))

    assert (plan.messages, plan.audit, case.copy.state) == ([], [], "owed")


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
def test_a_hard_stop_that_came_after_it_was_asked_for_refuses_it(
    scope: str, value: str
) -> None:
    case, other = Corrected(), Corrected()
    case.stop(scope, value, at=NOW)
    other.stop(scope, "other", at=NOW)

    plan = case.settle(correction())

    assert plan.messages == []
    assert plan.approvals == []  # a person has decided: nobody is asked again
    assert case.copy.state == "refused"
    named = f"{scope} {value}".strip()
    assert case.copy.why == f"A hard stop on {named} came after it was asked for."
    assert other.settle(correction()).messages


def test_what_is_asked_for_after_the_stop_passes_it() -> None:
    case = Corrected(asked_at=NOW + SECOND)
    case.stop(at=NOW)

    assert case.settle(correction()).messages


@pytest.mark.parametrize(
    ("forged", "reason"),
    [
        (correction("not an id"), "no such correction"),
        (correction(""), "no such correction"),
        (correction(turn="t2"), "no such correction"),
        (correction(turn="never asked"), "no such correction"),
        (correction(text="A free car."), "not the text of the correction"),
    ],
    ids=[
        "of no correction",
        "of none at all",
        "of another turn",
        "of no turn",
        "another text",
    ],
)
def test_a_forged_record_tells_nothing_and_leaves_the_copy_owed(
    forged: Fact, reason: str
) -> None:
    case = Corrected()

    plan = case.settle(forged)

    assert (plan.messages, plan.copies, plan.turns) == ([], [], [])
    assert [(line.action, line.detail["reason"]) for line in plan.audit] == [
        ("record_refused", reason)
    ]
    assert case.copy.state == "owed"
    assert case.settle(correction()).messages


def test_a_record_that_the_gate_fails_on_refuses_the_copy_and_harms_no_turn() -> None:
    case = Corrected()

    plan = case.settle(correction(kind=FAILED, reason="no room", text=""))

    assert (plan.turns, plan.messages) == ([], [])
    assert case.copy.why == "It could not be carried out: no room"
    assert (case.copy.state, case.state()) == ("refused", "delivered")


def test_a_failure_that_comes_after_the_delivery_is_nothing() -> None:
    case = Corrected()
    case.settle(correction())

    plan = case.settle(correction(kind=FAILED, reason="no room", text=""))

    assert (plan.audit, case.copy.state) == ([], "delivered")


def test_of_a_turn_that_waits_for_others_nothing_is_told_early() -> None:
    case = Corrected()
    case.settle(opened("t3"), opened("t4"), reply("t4"))  # t3 is open
    case.copy.confirmed = True

    assert lines(case.settle(correction())) == [f"7 assistant {CORRECTED}"]
    assert lines(case.settle(reply("t3"))) == [
        "8 assistant answer t3",
        "9 assistant answer t4",
    ]


# Its states


def test_the_table_has_every_state_and_the_model_has_no_other() -> None:
    assert set(COPY_TRANSITIONS) == set(get_args(CopyStateName))
    assert set(COPY_TRANSITIONS) == set(CorrectionCopy.State.values)


def test_nothing_follows_a_delivery() -> None:
    case = Corrected(state="delivered", asked_at=NOW + timedelta(days=1))

    for state in COPY_TRANSITIONS:
        with pytest.raises(TransitionError):
            case.copy.move(state)
