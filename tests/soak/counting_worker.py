"""A worker that writes down when each handler of an agent starts, and when it took its slot.

python -m tests.soak.counting_worker -A controlplane worker …

SOAK_STARTS: the file. SOAK_DISOBEYS: it takes no notice of soft stops, and is to be found out.
"""

import os
import sys
import time
from collections.abc import AsyncIterator, Callable, Hashable, Iterable
from typing import Any

import msgspec
from celery.__main__ import main

from agents import registry
from agents.agent import Agent, Context, Event, Send
from agents.control import Control
from agents.control_state import Ramp
from agents.ramp import Slots
from agents.tools import Build, Tools

STARTS, DISOBEYS = "SOAK_STARTS", "SOAK_DISOBEYS"

_build = registry.builds
_taken_at_s: dict[tuple[str, Hashable], float] = {}  # of what has not started yet


def builds(names: Iterable[str]) -> list[Build]:
    file = os.open(os.environ[STARTS], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    return [_counting(build, file) for build in _build(names)]


def _counting(build: Build, file: int) -> Build:
    def built(tools: Tools) -> Any:
        agent = build(tools)
        if not isinstance(agent, Agent) or agent.is_sink:
            return agent
        counting: dict[str, Any] = {}
        if agent.handle is not None:
            counting["handle"] = _inline(agent, file)
        if agent.handle_async is not None:
            counting["handle_async"] = _on_loop(agent, file)
        return msgspec.structs.replace(agent, **counting)

    return built


def _inline(agent: Agent, file: int) -> Callable[..., Iterable[Send]]:
    def handle(event: Event[Any], ctx: Context) -> Iterable[Send]:
        _write(agent, event, file)
        assert agent.handle is not None
        return agent.handle(event, ctx)

    return handle


def _on_loop(agent: Agent, file: int) -> Callable[..., AsyncIterator[Send]]:
    async def handle(event: Event[Any], ctx: Context) -> AsyncIterator[Send]:
        _write(agent, event, file)
        assert agent.handle_async is not None
        async for send in agent.handle_async(event, ctx):
            yield send

    return handle


def _write(agent: Agent, event: Event[Any], file: int) -> None:
    """One write, so lines of several workers stay whole."""
    at_s, record = time.time(), event.record.coordinates
    slot_at_s = _taken_at_s.pop((agent.name, record), at_s)
    line = f"{at_s:.6f} {slot_at_s:.6f} {agent.name} {record} {os.getpid()}\n"
    os.write(file, line.encode())


def note_slots() -> None:
    """A thread may lose the processor between its slot and its handler."""
    take = Slots.take

    def noted(
        slots: Slots, ramps: Iterable[Ramp], agent: str, record: Hashable
    ) -> bool:
        at_s = time.time()
        is_taken = take(slots, ramps, agent, record)
        if is_taken:
            _taken_at_s[agent, record] = at_s
        return is_taken

    setattr(Slots, "take", noted)  # noqa: B010  # mypy minds the plain form


def disobey() -> None:
    ask = Control.why_not

    def why_not(control: Control, *about: str) -> str:
        why = ask(control, *about)
        return "" if why.startswith("soft stop") else why

    setattr(Control, "why_not", why_not)  # noqa: B010  # mypy minds the plain form


if __name__ == "__main__":
    setattr(registry, "builds", builds)  # noqa: B010
    note_slots()
    if os.environ.get(DISOBEYS):
        disobey()
    sys.exit(main())
