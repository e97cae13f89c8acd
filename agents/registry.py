"""Every agent of the product, one line each."""

from collections.abc import Iterable
from functools import cache
from importlib import import_module
from typing import cast

import msgspec

from agents import topics
from agents.agent import Agent
from agents.tools import Build, Tools


class Declaration(msgspec.Struct, frozen=True, kw_only=True):
    """What an agent or a service says of itself, without what it is run with."""

    name: str
    workflow: str
    kind: str
    description: str
    reads: tuple[str, ...]
    writes: tuple[str, ...]


class UnknownAgentError(Exception):
    """A name that is neither an agent nor a workflow."""


# name: (workflow, where its declaration is)
AGENTS = {
    "input-guard": ("chat", "agents.chat.input_guard:AGENT"),
    "tier-router": ("chat", "agents.chat.tier_router:AGENT"),
    "responder": ("chat", "agents.chat.responder:AGENT"),
    "output-guard": ("chat", "agents.chat.output_guard:AGENT"),
    "intake": ("platform", "controlplane.chat.sinks:intake"),
    "gate": ("platform", "controlplane.chat.sinks:gate"),
    "failures": ("platform", "controlplane.chat.sinks:failures"),
    "recorder": ("platform", "controlplane.traces.sinks:recorder"),
    "mail-intake": ("platform", "controlplane.effects.sinks:mail_intake"),
    "mailer": ("platform", "controlplane.effects.sinks:mailer"),
    "relay": ("platform", "controlplane.runtime.sinks:relay"),
    "tripwire": ("platform", "controlplane.stops.tripwire:tripwire"),
}


def chosen(names: str) -> list[str]:
    """Return the agents that "all", or names of agents and workflows with commas, stand for."""
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    found: list[str] = []
    for name in wanted:
        members = [a for a, (flow, _) in AGENTS.items() if name in {a, flow, "all"}]
        if not members:
            known = ", ".join(["all", "chat", "platform", *AGENTS])
            raise UnknownAgentError(
                f"no agent or workflow {name!r}; there are: {known}"
            )
        found += [member for member in members if member not in found]
    return found


def builds(names: Iterable[str]) -> list[Build]:
    return [_build(AGENTS[name][1]) for name in names]


def declaration(name: str) -> Agent:
    """Return an agent that needs no tools to be built: one with a pure handler."""
    if name not in AGENTS:
        raise UnknownAgentError(f"no agent {name!r}; there are: {', '.join(AGENTS)}")
    thing = _load(AGENTS[name][1])
    if not isinstance(thing, Agent):
        raise UnknownAgentError(
            f"{name} belongs to the platform and cannot be tried alone"
        )
    return thing


def declarations() -> list[Declaration]:
    """Return what every agent and service reads and writes. Nothing is connected to."""
    return [_declared(name) for name in AGENTS]


@cache
def upstream() -> dict[str, frozenset[str]]:
    """Return for each agent those whose work is in what it writes: itself and all before it."""
    known = declarations()
    return {each.name: _upstream_of(each, known) for each in known}


def _upstream_of(start: Declaration, known: list[Declaration]) -> frozenset[str]:
    found, waiting = {start.name}, [start]
    while waiting:
        reads = set(waiting.pop().reads) - topics.INGRESS
        for other in known:
            if other.name not in found and reads & set(other.writes):
                found.add(other.name)
                waiting.append(other)
    return frozenset(found)


class _NoTools(Tools):
    """Tools that are not there: declaring something only closes over them."""

    def __init__(self) -> None:
        """Open nothing."""

    def __getattr__(self, _: str) -> None:
        return None


def _declared(name: str) -> Declaration:
    workflow, path = AGENTS[name]
    built = _build(path)(_NoTools())
    return Declaration(
        name=built.name,
        workflow=workflow,
        kind=built.kind if isinstance(built, Agent) else "service",
        description=built.description,
        reads=built.reads if isinstance(built, Agent) else (),
        writes=built.writes,
    )


def _build(path: str) -> Build:
    thing = _load(path)
    if isinstance(thing, Agent):
        agent = thing
        return lambda _: agent
    return cast("Build", thing)


def _load(path: str) -> object:
    module, _, name = path.partition(":")
    return getattr(import_module(module), name)
