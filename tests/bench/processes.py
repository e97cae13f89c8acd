"""What processes cost: CPU time and memory, read from /proc."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class Cost(msgspec.Struct, frozen=True):
    """The sum over a process and all it started. memory is proportional set size."""

    cpu_s: float
    memory_mb: float


def costs(pids: Mapping[str, int]) -> dict[str, Cost]:
    children = _children()
    return {name: _cost(_tree(pid, children)) for name, pid in pids.items()}


def _children() -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (fields := _stat(int(entry.name))):
            found.setdefault(int(fields[1]), []).append(int(entry.name))
    return found


def _tree(pid: int, children: Mapping[int, list[int]]) -> Iterable[int]:
    yield pid
    for child in children.get(pid, ()):
        yield from _tree(child, children)


def _cost(pids: Iterable[int]) -> Cost:
    cpu_s = memory_kb = 0.0
    for pid in pids:
        if fields := _stat(pid):
            cpu_s += (int(fields[11]) + int(fields[12])) / _TICKS_PER_S
            memory_kb += _memory_kb(pid)
    return Cost(cpu_s, memory_kb / 1024)


def _stat(pid: int) -> list[str]:
    """Return the fields after the name, or nothing if the process is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _memory_kb(pid: int) -> int:
    try:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0
    return next(
        int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:")
    )
