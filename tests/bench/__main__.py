"""make bench: figures against the bare libraries and a named peer, as ratios in one run.

BENCH=guard,chain,turns,idle,pages,hop,guard-hop,stops,stores chooses parts. The table goes to standard output. What needs no services
starts none.
"""

import os
import platform
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import django

from controlplane.embedded import services
from tests.bench import chain, guard, hop, idle, stores, turns
from tests.e2e.product import Product, running

# What writes most comes last: PostgreSQL puts it on the disk for minutes afterwards.
PARTS = (
    "guard",
    "chain",
    "turns",
    "idle",
    "pages",
    "hop",
    "guard-hop",
    "stops",
    "stores",
)


def say(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def row(*cells: str) -> None:
    sys.stdout.write(f"| {' | '.join(cells)} |\n")
    sys.stdout.flush()


def main() -> None:
    chosen = os.environ.get("BENCH", ",".join(PARTS)).split(",")
    _head()
    if "guard" in chosen:
        chosen.remove("guard")
        say("guard ...")
        for cells in guard.rows():
            row(*cells)
    if chosen:
        _with_services(chosen)


def _head() -> None:
    row("what", "figure", "beside it")
    row("---", "---", "---")
    row(
        "machine",
        f"{os.cpu_count()} cores, {platform.machine()}",
        f"Python {platform.python_version()}",
    )


def _with_services(chosen: list[str]) -> None:
    data_dir = Path(".run/bench").resolve()
    services.remove(data_dir)
    backing = services.start(data_dir, report=say)
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "controlplane.settings")
    os.environ.update(backing.environment)
    django.setup()
    client = {"bootstrap.servers": backing.environment["KAFKA_BOOTSTRAP_SERVERS"]}
    try:
        with running(Product(backing.environment, data_dir / "product")) as product:
            product.env["INTERLOCK_MESSAGES_PER_MINUTE"] = "1000000"
            product.prepare()
            bench = Bench(product, backing, client)
            for part in chosen:
                say(f"{part} ...")
                for cells in bench.part(part):
                    row(*cells)
    finally:
        backing.stop()


Cells = tuple[str, str, str]


class Bench:
    def __init__(
        self, product: Product, backing: services.Services, client: dict[str, str]
    ) -> None:
        self.product = product
        self.backing = backing
        self.client = client

    def part(self, name: str) -> Iterator[Cells]:
        parts: dict[str, Callable[[], Iterator[Cells]]] = {
            "hop": self._hop,
            "guard-hop": self._guard_hop,
            "stores": self._stores,
            "chain": self._chain,
            "turns": self._turns,
            "idle": self._idle,
            "pages": self._pages,
            "stops": self._stops,
        }
        yield from parts[name]()

    def _hop(self) -> Iterator[Cells]:
        found = hop.measure(self.client)
        ours = found.pop("runner")
        for name, per_s in found.items():
            yield (
                f"guard hop against {name}",
                f"{ours:,.0f} records/s",
                f"{per_s:,.0f} records/s, ratio {ours / per_s:.2f}",
            )

    def _guard_hop(self) -> Iterator[Cells]:
        found = hop.measure_guard(self.client)
        ours, bare, empty = found["rules"], found["bare"], found["no rules"]
        yield (
            f"input guard on Kafka, {guard.PATTERNS} patterns and {guard.TERMS:,} terms, texts of 300",
            f"{ours:,.0f} records/s",
            f"without a rule {empty:,.0f}, ratio {ours / empty:.2f}; a bare loop that copies the headers {bare:,.0f}, ratio {ours / bare:.2f}",
        )

    def _stores(self) -> Iterator[Cells]:
        conninfo = self.backing.environment["DATABASE_OWNER_URL"]
        found = stores.recorder(conninfo)
        ours, bare = found["recorder"], found["bare COPY"]
        yield (
            "recorder against bare COPY",
            f"{ours:,.0f} records/s",
            f"{bare:,.0f} records/s, ratio {ours / bare:.2f}",
        )
        yield "gate, one connection", f"{stores.gate(conninfo):,.0f} deliveries/s", ""

    def _chain(self) -> Iterator[Cells]:
        found = chain.measure(self.client)
        yield (
            f"five bare Kafka hops at {chain.RATE_PER_S}/s",
            f"p50 {found['p50_ms']:.1f} ms, p99 {found['p99_ms']:.1f} ms",
            "",
        )

    def _turns(self) -> Iterator[Cells]:
        web, worker = self.product.start_web(), self.product.start_worker()
        pids = {"web": web.pid, "worker": worker.pid} | {
            child.name: child.pid for child in self.backing.children
        }
        at_rest = turns.rest(pids)
        yield "at rest", turns.memory(pids), f"CPU {turns.spent(at_rest)}"
        turns.measure(self.product, pids, turns_per_s=50, seconds=10)  # warms
        for per_s in (50, 200):
            run = turns.measure(self.product, pids, turns_per_s=per_s, seconds=20)
            yield (
                f"chat turns, {per_s}/s",
                turns.latency(run),
                f"CPU {turns.spent(run.cpu_percent)}",
            )
        yield "after that", turns.memory(pids), ""
        yield (
            f"most turns/s with p99 under {turns.LIMIT_MS} ms",
            f"{turns.most(self.product, pids):.0f}",
            f"of {', '.join(map(str, turns.STEPS_PER_S))}",
        )
        worker.end()
        self.product.start("dropping", "-m", "tests.bench.dropping_worker")
        alone = {"web": web.pid}
        turns.measure(self.product, alone, turns_per_s=20, seconds=5)  # it joins
        run = turns.measure(self.product, alone, turns_per_s=20, seconds=30)
        yield "one push in ten lost, 20/s", turns.latency(run), ""
        self.product.end()

    def _idle(self) -> Iterator[Cells]:
        web = self.product.start_web()
        found = idle.measure(self.product, web.pid)
        yield (
            f"{idle.WIDGETS:,} idle widgets on one web process",
            f"{found['kb_each']:.0f} kB each",
            f"web CPU {found['cpu_percent']:.0f} %",
        )

    def _pages(self) -> Iterator[Cells]:
        from tests.bench import pages  # noqa: PLC0415  # needs Django

        bare_ms = 0.0
        for name, cost in pages.measure(self.backing.environment["DATABASE_OWNER_URL"]):
            bare_ms = bare_ms or cost.cpu_ms
            yield (
                f"page {name}",
                f"p50 {cost.p50_ms:.1f} ms, p95 {cost.p95_ms:.1f} ms, CPU {cost.cpu_ms:.1f} ms",
                f"{cost.queries} queries, {cost.size_kb:.0f} kB, CPU ratio {cost.cpu_ms / bare_ms:.0f}",
            )

    def _stops(self) -> Iterator[Cells]:
        from tests.bench import stops  # noqa: PLC0415  # needs Django

        base: stops.Stops | None = None
        for busy in stops.LOADS:
            found = stops.hard(self.product, busy)
            base = base or found
            told = (
                f"proven {stops.latency(found.proven_ms)}, ratio {stops.ratio(found, base):.1f}",
                f"all it met listed {stops.latency(found.listed_ms)}",
                f"{len(found.differences)} leaks and other faults",
            )
            yield (
                f"hard stop, {busy}: {found.turns_per_s:,.0f} turns/s",
                f"requested {stops.latency(found.requested_ms)}",
                "; ".join(told),
            )
        for workers in (1, 2):
            found = stops.soft(self.product, workers=workers)
            yield (
                f"soft stop, live workers: {workers}",
                f"requested {stops.latency(found.requested_ms)}",
                f"proven {stops.latency(found.proven_ms)}",
            )


if __name__ == "__main__":
    main()
