"""Processes by pid: which one it is now, what descends from it, and how it is made to end."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from signal import SIGCONT, SIGKILL, Signals
from typing import NamedTuple

ON_LINUX = sys.platform.startswith("linux")


class Fact(NamedTuple):
    """A living process; its start time tells it from a later one with the same pid."""

    pid: int
    parent: int
    state: str
    started: str


def look(pid: int) -> Fact | None:
    """What lives under this pid; None for nothing, or for a dead one not yet reaped."""
    rows = _read_linux(pid) if ON_LINUX else _read_ps("-p", str(pid))
    return next((row for row in rows if not row.state.startswith("Z")), None)


def descendants(pid: int) -> list[int]:
    """Every process below this one, parents first."""
    rows = _all_linux() if ON_LINUX else _read_ps("-A")
    found, queue = [], [pid]
    while queue:
        parent = queue.pop(0)
        children = [row.pid for row in rows if row.parent == parent]
        found += children
        queue += children
    return found


def command_line(pid: int) -> str:
    if ON_LINUX:
        try:
            raw = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            return ""
        return raw.replace(b"\0", b" ").decode(errors="replace")
    return _ps("-o", "command=", "-p", str(pid))


def wait_until(fact: Callable[[], bool], *, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not fact():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def end(pid: int, signal: int, seconds: float) -> None:
    fact = look(pid)
    if fact is None:
        return
    signal_tree(pid, SIGCONT)  # a frozen process cannot end
    with suppress(ProcessLookupError):
        os.kill(pid, signal)
    if not wait_until(lambda: not is_same(fact), seconds=seconds):
        kill_tree(pid)


def kill_tree(pid: int) -> None:
    members = [look(member) for member in (pid, *descendants(pid))]
    living = [fact for fact in members if fact is not None]
    for fact in living:
        with suppress(ProcessLookupError):
            os.kill(fact.pid, SIGKILL)
    wait_until(lambda: not any(is_same(fact) for fact in living), seconds=10)


def signal_tree(pid: int, signal: Signals) -> None:
    for member in (pid, *descendants(pid)):
        with suppress(ProcessLookupError):
            os.kill(member, signal)


def is_same(fact: Fact) -> bool:
    now = look(fact.pid)
    return now is not None and now.started == fact.started


def _read_linux(pid: int) -> list[Fact]:
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return []
    fields = text.rpartition(")")[2].split()  # the name before it may hold anything
    return [Fact(pid, int(fields[1]), fields[0], fields[19])]


def _all_linux() -> list[Fact]:
    pids = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]
    return [row for pid in pids for row in _read_linux(pid)]


def _read_ps(*selection: str) -> list[Fact]:
    lines = _ps("-o", "pid=,ppid=,stat=,lstart=", *selection).splitlines()
    rows = [line.split(maxsplit=3) for line in lines]
    return [Fact(int(row[0]), int(row[1]), row[2], row[3].strip()) for row in rows]


def _ps(*arguments: str) -> str:
    command = ["ps", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout  # noqa: S603
