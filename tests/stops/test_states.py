"""The states of a stop: a pure table."""

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.stops.states import TIMES, TRANSITIONS, State, may_move, state_of

NOW = datetime(2026, 11, 28, tzinfo=UTC)


def of(*reached: str) -> SimpleNamespace:
    return SimpleNamespace(
        **{time: NOW if state in reached else None for state, time in TIMES.items()}
    )


def test_the_table_knows_every_state_and_no_other() -> None:
    known = set(get_args(State))

    assert set(TRANSITIONS) == set(TIMES) == known
    assert set().union(*TRANSITIONS.values()) <= known


def test_every_state_is_reached_and_the_last_is_the_end() -> None:
    assert set().union(*TRANSITIONS.values()) == set(TRANSITIONS) - {"requested"}
    assert [state for state, after in TRANSITIONS.items() if not after] == ["released"]


@pytest.mark.parametrize(
    ("reached", "state"),
    [
        (("requested",), "requested"),
        (("requested", "proven"), "proven"),
        (("requested", "proven", "releasing"), "releasing"),
        (("requested", "releasing"), "releasing"),
        (("requested", "proven", "releasing", "released"), "released"),
    ],
)
def test_the_latest_time_says_the_state(reached: tuple[str, ...], state: str) -> None:
    assert state_of(of(*reached)) == state


@given(st.lists(st.sampled_from(sorted(TRANSITIONS)), max_size=12))
def test_no_way_through_the_table_goes_back(asked: list[State]) -> None:
    now: State = "requested"
    order, been = list(TIMES), [now]
    for to in asked:
        if may_move(now, to):
            now = to
            been.append(to)

    places = [order.index(state) for state in been]
    assert places == sorted(set(places))
    assert state_of(of(*been)) == now
