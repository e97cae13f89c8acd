"""The states of a stop, as one table. Pure."""

from typing import Literal

State = Literal["requested", "proven", "releasing", "released"]

# A stop that cannot be proven must be releasable all the same. What was released stays so:
# the same stop engaged again is another one.
TRANSITIONS: dict[State, frozenset[State]] = {
    "requested": frozenset({"proven", "releasing"}),
    "proven": frozenset({"releasing"}),
    "releasing": frozenset({"released"}),
    "released": frozenset(),
}
# In this order; the last of them that has come says which it is.
TIMES: dict[State, str] = {
    "requested": "requested_at",
    "proven": "proven_at",
    "releasing": "releasing_at",
    "released": "released_at",
}


def state_of(stop: object) -> State:
    """Return the state of what has the times of TIMES as attributes."""
    reached: State = "requested"
    for state, time in TIMES.items():
        if getattr(stop, time) is not None:
            reached = state
    return reached


def may_move(now: State, to: State) -> bool:
    return to in TRANSITIONS[now]
