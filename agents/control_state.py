"""One version of everything that people control, as agents see it. Pure."""

from collections.abc import Sequence
from typing import Literal

import msgspec
from msgspec.structs import replace


class Scoped(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    scope: Literal["everything", "workflow", "agent", "tier", "conversation"]
    value: str = ""

    def covers(self, **facts: str) -> bool:
        """Tell whether it applies to something with these facts (workflow=, agent=, ...)."""
        return self.scope == "everything" or facts.get(self.scope) == self.value


class Stop(Scoped, frozen=True, kw_only=True):
    """An emergency stop in force."""

    mode: Literal["soft", "hard"]


class Ramp(Scoped, frozen=True, kw_only=True):
    """A soft stop on its way out: so many records a second each of its agents may start."""

    per_s: float


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """Where a tier's questions go. An empty base_url is the default of the environment."""

    tier: str
    backend: str
    base_url: str
    model: str
    key_variable: str
    timeout_s: float
    fallback_text: str


class Published(msgspec.Struct, frozen=True, kw_only=True):
    """The publication that is in force."""

    id: int = 0
    ruleset_hash: str = ""
    at_ms: float = 0.0


class ControlState(msgspec.Struct, frozen=True, kw_only=True):
    """One version of everything that people control.

    ruleset_hash: the rules that are obeyed here, which are the published ones as soon as they are ready.
    """

    version: int = 0
    changed_at_ms: float = 0.0
    stops: tuple[Stop, ...] = ()
    ramps: tuple[Ramp, ...] = ()
    routes: tuple[Route, ...] = ()
    paused_agents: tuple[str, ...] = ()
    published: Published = Published()
    ruleset_hash: str = ""

    @property
    def is_ruled(self) -> bool:
        """Tell whether the rules in force are those that are obeyed."""
        return self.ruleset_hash == self.published.ruleset_hash

    def route(self, tier: str) -> Route | None:
        """Return the tier's route, else the one of the free tier."""
        routes = {route.tier: route for route in self.routes}
        return routes.get(tier) or routes.get("free")


def oldest_of(states: Sequence[ControlState], *, latest: ControlState) -> ControlState:
    """What all of them obey: the oldest version, and rules of before while anyone may judge by them."""
    obeyed = min((*states, latest), key=lambda each: each.version)
    hashes = {each.ruleset_hash for each in states} - {latest.ruleset_hash}
    return replace(obeyed, ruleset_hash=min(hashes, default=latest.ruleset_hash))
