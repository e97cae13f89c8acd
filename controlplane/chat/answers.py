"""What a widget is told of its answers while people have stopped something."""

from typing import Literal

from agents.control import Control
from agents.registry import chosen

# paused: agents on the way start nothing. by_people: nothing goes out that no person has decided on.
Answers = Literal["flowing", "paused", "by_people"]

_WORKFLOW = "chat"
_AGENTS = chosen(_WORKFLOW)


class Prospects:
    """One look at control state, for however many sockets."""

    def __init__(self, control: Control) -> None:
        self._control = control
        self._hard = [stop for stop in control.state.stops if stop.mode == "hard"]
        self._paused: dict[str, bool] = {}

    def is_paused(self, tier: str) -> bool:
        """Whether an agent on the way to an answer may start nothing."""
        if tier not in self._paused:
            self._paused[tier] = any(
                self._control.why_not(agent, _WORKFLOW, tier) for agent in _AGENTS
            )
        return self._paused[tier]

    def answers(self, *, tier: str, conversation: str) -> Answers:
        """Return what is true of what is asked there now. Who has not looked yet says nothing."""
        if not self._control.state.version:
            return "flowing"
        if self.is_paused(tier):
            return "paused"
        is_by_people = any(
            stop.covers(
                agent=agent, workflow=_WORKFLOW, tier=tier, conversation=conversation
            )
            for stop in self._hard
            for agent in _AGENTS
        )
        return "by_people" if is_by_people else "flowing"
