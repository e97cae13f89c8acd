"""Chat turns through the whole product: latency by load, CPU and memory of each process."""

import asyncio
import math
import time
from collections.abc import Mapping
from uuid import uuid4

import msgspec

from tests.bench import load
from tests.bench.load import Load
from tests.bench.processes import costs
from tests.e2e.product import Product
from tests.waiting import wait_for

USERS = 100
LIMIT_MS = 250
STEPS_PER_S = (20, 30, 40, 50, 75, 100, 125, 150, 200, 250, 300, 400)

_OPEN = """
SELECT count(*) FROM chat_turn t LEFT JOIN chat_outcome o ON o.turn_id = t.id
WHERE coalesce(o.state, 'open') = 'open'
"""


class Run(msgspec.Struct, frozen=True):
    """A load and what each process spent on it, in percent of one core."""

    load: Load
    cpu_percent: dict[str, float]


def tokens(count: int) -> list[str]:
    from controlplane.chat import tokens as chat_tokens  # noqa: PLC0415  # needs Django

    return [
        chat_tokens.issue(f"bench-{uuid4().hex}", tier="free") for _ in range(count)
    ]


def measure(
    product: Product, pids: Mapping[str, int], *, turns_per_s: float, seconds: float
) -> Run:
    """Return when nothing is under way any more, so that one run is no burden on the next."""
    before, began_s = costs(pids), time.perf_counter()
    done = asyncio.run(
        load.run(
            product.socket_url,
            tokens(USERS),
            turns_per_s=turns_per_s,
            seconds=seconds,
        )
    )
    after, took_s = costs(pids), time.perf_counter() - began_s
    percent = {
        name: 100 * (after[name].cpu_s - before[name].cpu_s) / took_s for name in before
    }
    wait_for(
        lambda: product.sql(_OPEN) == [(0,)], timeout_s=240, what="all are answered"
    )
    return Run(done, percent)


def most(product: Product, pids: Mapping[str, int]) -> float:
    """Return the most turns per second of these steps with a p99 under the limit."""
    best = 0.0
    for turns_per_s in STEPS_PER_S:
        run = measure(product, pids, turns_per_s=turns_per_s, seconds=10)
        if not run.load.percentile_ms(99) < LIMIT_MS:
            break
        best = turns_per_s
    return best


def rest(pids: Mapping[str, int], *, seconds: float = 10) -> dict[str, float]:
    before = costs(pids)
    time.sleep(seconds)
    after = costs(pids)
    return {
        name: 100 * (after[name].cpu_s - before[name].cpu_s) / seconds
        for name in before
    }


def memory(pids: Mapping[str, int]) -> str:
    found = {name: cost.memory_mb for name, cost in costs(pids).items()}
    each = ", ".join(f"{name} {size:.0f}" for name, size in found.items())
    return f"{sum(found.values()):.0f} MB: {each}"


def spent(cpu_percent: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {part:.0f} %" for name, part in cpu_percent.items())


def latency(run: Run) -> str:
    done = run.load
    missing = done.asked - len(done.answers_s)
    shown = (
        f"p50 {_ms(done.percentile_ms(50))}, p99 {_ms(done.percentile_ms(99))},"
        f" latest {_ms(done.latest_ms)}"
    )
    return f"{shown}, {missing} unanswered" if missing else shown


def _ms(value: float) -> str:
    return "never" if math.isinf(value) else f"{value:.1f} ms"
