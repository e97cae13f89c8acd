"""The table of states: a timer never says that something was sent, and only people end what is unknown for good."""

from typing import get_args

import pytest

from controlplane.effects.models import Effect
from controlplane.effects.states import (
    LEADS_TO,
    MOVES,
    State,
    may_move,
    origins,
    verbs_for,
)

STATES = set(get_args(State))


def test_the_table_and_the_rows_know_the_same_states() -> None:
    assert {str(state) for state in Effect.State} == STATES
    assert {
        to for moves in MOVES.values() for each in moves.values() for to in each
    } == STATES


def test_what_is_over_stays_over() -> None:
    for moves in MOVES.values():
        assert not {"sent", "dropped"} & moves.keys()


def test_nothing_is_sent_again_by_itself_once_it_is_unknown_held_or_failed() -> None:
    for mover in ("stop", "sender", "clock"):
        for state in ("unknown", "held", "failed"):
            assert not may_move(mover, state, "waiting")
            assert not may_move(mover, state, "sending")


def test_a_timer_and_a_stop_never_say_that_it_was_sent_or_not() -> None:
    for mover in ("stop", "clock"):
        assert not origins(mover, "sent")
        assert not origins(mover, "failed")


@pytest.mark.parametrize(
    ("state", "verbs"),
    [
        ("waiting", ["drop"]),
        ("sending", []),
        ("held", ["send", "drop"]),
        ("unknown", ["send", "sent", "drop"]),
        ("failed", ["send", "drop"]),
        ("sent", []),
        ("dropped", []),
    ],
)
def test_what_a_person_may_do(state: State, verbs: list[str]) -> None:
    assert verbs_for(state) == verbs
    assert all(may_move("person", state, LEADS_TO[verb]) for verb in verbs_for(state))
