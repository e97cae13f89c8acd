"""The states of an effect outside: who may move it where. Pure."""

from typing import Literal

State = Literal["waiting", "sending", "sent", "failed", "unknown", "held", "dropped"]
Mover = Literal["stop", "sender", "clock", "person"]
Verb = Literal["send", "sent", "drop"]

# stop: a hard stop that covers it. sender: who claimed it, with what the server said.
# clock: a lease ran out, which is no word about whether it was sent.
MOVES: dict[Mover, dict[State, frozenset[State]]] = {
    "stop": {"waiting": frozenset({"held"}), "sending": frozenset({"held", "unknown"})},
    "sender": {
        "waiting": frozenset({"sending"}),
        "sending": frozenset({"sent", "failed", "waiting", "unknown"}),
        "unknown": frozenset({"sent", "failed"}),  # it has learnt it late
    },
    "clock": {"sending": frozenset({"waiting", "unknown"})},
    "person": {
        "waiting": frozenset({"dropped"}),
        "held": frozenset({"waiting", "dropped"}),
        "unknown": frozenset({"waiting", "sent", "dropped"}),
        "failed": frozenset({"waiting", "dropped"}),
    },
}
LEADS_TO: dict[Verb, State] = {"send": "waiting", "sent": "sent", "drop": "dropped"}
NEEDS_PERSON: tuple[State, ...] = ("held", "unknown", "failed")


def may_move(mover: Mover, state: State, to: State) -> bool:
    return to in MOVES[mover].get(state, frozenset())


def origins(mover: Mover, to: State) -> list[State]:
    """Return the states from which this one may be reached."""
    return [state for state, reached in MOVES[mover].items() if to in reached]


def verbs_for(state: State) -> list[Verb]:
    """Return what a person may do about an effect."""
    return [verb for verb, to in LEADS_TO.items() if may_move("person", state, to)]
