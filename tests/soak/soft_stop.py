"""A soft stop as one of the faults of a soak: nobody starts anything under it, and its release keeps to its ramp."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from agents.ramp import FRESH_S
from tests.soak.stage import Stage
from tests.waiting import wait_for

RAMP_PER_S = 60  # more than a soak asks
SLACK = 2  # starts: of both ends of a window
RELEASED_S = 240.0

_LATEST = """
SELECT id::text, extract(epoch FROM proven_at)::float, extract(epoch FROM releasing_at)::float,
  extract(epoch FROM released_at)::float
FROM stops_stop WHERE mode = 'soft' ORDER BY requested_at DESC LIMIT 1
"""


class DisobeyedError(Exception):
    """Somebody started what a stop, or the ramp of its release, did not allow."""


@dataclass(frozen=True)
class Start:
    """slot_at_s: when it took its slot of a ramp, before it started; without one, the same moment."""

    at_s: float
    slot_at_s: float
    agent: str
    record: str
    pid: int


@dataclass(frozen=True)
class Stop:
    """Times of PostgreSQL, which has the clock of this machine."""

    id: str
    proven_s: float | None
    releasing_s: float | None
    released_s: float | None


def read_starts(file: Path) -> list[Start]:
    return [_start(*line.split()) for line in file.read_text().splitlines()]


def _start(at_s: str, slot_at_s: str, agent: str, record: str, pid: str) -> Start:
    return Start(float(at_s), float(slot_at_s), agent, record, int(pid))


def above(starts: Sequence[Start], per_s: float) -> list[Start]:
    """Return the starts of which there are too many in some time that ends with them. Pure.

    In any T seconds an agent may start per_s x (T + FRESH_S), and what both ends round up.
    """
    found, numbers, least = [], dict[str, int](), dict[str, float]()
    for start in sorted(starts, key=lambda each: each.slot_at_s):
        number = numbers[start.agent] = numbers.get(start.agent, 0) + 1
        lead = number - per_s * start.slot_at_s
        least[start.agent] = min(lead, least.get(start.agent, lead))
        if lead - least[start.agent] + 1 > per_s * FRESH_S + SLACK:
            found.append(start)
    return found


class SoftStop:
    """Engages it, and later says what was wrong. What is asked for may be away meanwhile."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        wait_for(self._is_proven, timeout_s=60, what="the stop is proven")

    def _is_proven(self) -> bool:
        self._manage("soft", "--scope", "workflow:chat", "--reason", "soak")
        stop = self._look()
        return stop is not None and stop.proven_s is not None and not stop.releasing_s

    def release(self) -> None:
        """Let it go by its ramp, and return when that is over."""
        wait_for(self._is_let_go, timeout_s=60, what="the stop is let go")
        wait_for(self._is_released, timeout_s=RELEASED_S, what="the ramp is over")
        stop = self._look()
        assert stop is not None
        judge(stop, read_starts(self._stage.starts))

    def _is_let_go(self) -> bool:
        stop = self._look()
        if stop is not None and not stop.releasing_s:
            ramp = ("--reason", "over", "--ramp", str(RAMP_PER_S))
            self._manage("release", stop.id, *ramp)
        return stop is not None and bool(stop.releasing_s)

    def _is_released(self) -> bool:
        stop = self._look()
        return stop is not None and bool(stop.released_s)

    def _manage(self, *arguments: str) -> None:
        self._stage.product.run("manage.py", "stop", *arguments)

    def _look(self) -> Stop | None:
        rows: list[tuple[Any, ...]] = []
        with suppress(psycopg.OperationalError):
            rows = self._stage.product.sql(_LATEST)
        return Stop(*rows[0]) if rows else None


def judge(stop: Stop, starts: Sequence[Start]) -> None:
    """Raise DisobeyedError unless nobody started anything under the stop, or more than its ramp allowed."""
    assert stop.proven_s
    assert stop.releasing_s
    assert stop.released_s
    under = [each for each in starts if stop.proven_s < each.at_s < stop.releasing_s]
    if under:
        raise DisobeyedError(f"{len(under)} starts under the stop: {under[0]}")
    ramped = [
        each for each in starts if stop.releasing_s < each.slot_at_s < stop.released_s
    ]
    if soon := above(ramped, RAMP_PER_S):
        raise DisobeyedError(f"{len(soon)} of {len(ramped)} above the ramp: {soon[0]}")
