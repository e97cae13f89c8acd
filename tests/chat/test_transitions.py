"""The table of states: which moves there are, and that no other is made."""

from datetime import UTC, datetime
from itertools import product
from typing import get_args

import pytest

from controlplane.chat.turns import TRANSITIONS, State, TransitionError, TurnState

STATES: tuple[State, ...] = get_args(State)
MOVES = {
    ("open", "held"),
    ("open", "delivered"),
    ("open", "failed"),
    ("held", "approved"),
    ("held", "rejected"),
    ("held", "expired"),
    ("approved", "delivered"),
    ("approved", "held"),
    ("rejected", "held"),
    ("expired", "held"),
    ("failed", "open"),
}


def turn(state: State) -> TurnState:
    return TurnState(
        id="t1",
        conversation_id="c1",
        number=1,
        text="hello",
        trace_id="",
        created_at=datetime.now(UTC),
        state=state,
    )


@pytest.mark.parametrize(("before", "after"), sorted(product(STATES, STATES)))
def test_a_turn_moves_only_as_the_table_says(before: State, after: State) -> None:
    moving = turn(before)
    if (before, after) in MOVES:
        moving.move(after)
        assert moving.state == after
    else:
        with pytest.raises(TransitionError, match=f"{before} to {after}"):
            moving.move(after)
        assert moving.state == before


def test_the_table_names_every_state() -> None:
    assert set(TRANSITIONS) == set(STATES)


def test_what_is_delivered_stays_so() -> None:
    assert TRANSITIONS["delivered"] == frozenset()


def test_what_failed_can_only_be_opened_again() -> None:
    assert TRANSITIONS["failed"] == {"open"}
    assert [state for state in STATES if "open" in TRANSITIONS[state]] == ["failed"]
