"""How long a stop takes, to its request and to its proof: hard while deliverers are busy, soft with live workers."""

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from uuid import uuid4

import msgspec
import psycopg

from controlplane.chat.models import Turn
from controlplane.runtime.models import ControlVersion, Heartbeat
from controlplane.stops import actions
from tests.e2e.product import Product
from tests.stops.flips.checker import differences
from tests.stops.flips.flipper import WHO, Timed, flip, release
from tests.stops.flips.rows import Look
from tests.waiting import wait_for

ROUNDS, FLIPS = 4, 50  # each round on what is otherwise empty
SOFT_FLIPS = 50
PROCESSES = 2  # that the deliverers are in
WARM = 50  # turns of each deliverer before the first flip


class Busy(msgspec.Struct, frozen=True):
    """hold_s: for how long each delivery is within its transaction; every_s: when the next begins, 0 for at once."""

    deliverers: int
    hold_s: float = 0.0
    every_s: float = 0.0

    def __str__(self) -> str:
        if not self.deliverers:
            return "nobody delivers"
        if not self.hold_s:
            return f"{self.deliverers} deliverers as fast as they can"
        pause = f" of each {self.every_s * 1000:g} ms" if self.every_s else ""
        return f"{self.deliverers} deliverers, {self.hold_s * 1000:g} ms{pause} in their transactions"


# As many turns as two cores sustain with everything else, four times as many, and all that the gate can do.
LOADS = (
    Busy(0),
    Busy(16, 0.02, 0.8),
    Busy(48, 0.02, 2.4),
    Busy(16, 0.02, 0.2),
    Busy(48, 0.02, 0.6),
    Busy(16, 0.02, 0.05),
    Busy(48, 0.02, 0.15),
)

_FORGET = (
    "DELETE FROM stops_listedturn",
    "DELETE FROM moderation_approval WHERE starts_with(turn_id, %s)",
    "DELETE FROM chat_message WHERE starts_with(turn_id, %s)",
    "DELETE FROM chat_outcome WHERE starts_with(turn_id, %s)",
    "DELETE FROM chat_turn WHERE starts_with(id, %s)",
    "DELETE FROM chat_conversation WHERE starts_with(id, %s)",
    "VACUUM ANALYZE",
)


class Stops(msgspec.Struct, frozen=True, kw_only=True):
    """What those who pressed waited for; differences: what the checker has against it."""

    requested_ms: Sequence[float]
    proven_ms: Sequence[float]
    listed_ms: Sequence[float] = ()
    turns_per_s: float = 0.0
    differences: Sequence[str] = ()


def hard(product: Product, busy: Busy) -> Stops:
    flips: list[Timed] = []
    found: list[str] = []
    turns, took_s = 0, 0.0
    for _ in range(ROUNDS):
        with _looking() as look:
            began_s, name = time.perf_counter(), f"bench-{uuid4().hex}"
            with _at_work(product, look, name=name, busy=busy):
                more = [flip(look, size=busy.deliverers) for _ in range(FLIPS)]
            took_s += time.perf_counter() - began_s
            given = Turn.objects.filter(pk__startswith=name)
            turns += given.count()
            names = given.values_list("pk", flat=True)
            facts = look.facts(names, [each.flip for each in more], name=name)
            flips, found = flips + more, found + differences(facts)
        _forget(product, name)
    return Stops(
        requested_ms=[each.requested_ms for each in flips],
        proven_ms=[each.proven_ms for each in flips],
        listed_ms=[each.listed_ms for each in flips],
        turns_per_s=turns / took_s,
        differences=found,
    )


@contextmanager
def _looking() -> Iterator[Look]:
    look = Look()
    yield look
    look.close()


@contextmanager
def _at_work(product: Product, look: Look, *, name: str, busy: Busy) -> Iterator[None]:
    module, each = "tests.stops.flips.crew_process", busy.deliverers // PROCESSES
    numbers = [str(number) for number in (each, busy.every_s, busy.hold_s)]
    crews = [
        product.start("crew", "-m", module, f"{name}-{number}", *numbers)
        for number in range(PROCESSES if each else 0)
    ]
    enough = look.settled() + WARM * busy.deliverers
    wait_for(lambda: look.settled() >= enough, timeout_s=60, what="all deliver")
    yield
    for crew in crews:
        crew.end()
        assert crew.wait() == 0, crew.log.read_text()


def _forget(product: Product, name: str) -> None:
    """Leave nothing: a release counts all turns of the day."""
    url = product.env["DATABASE_OWNER_URL"]
    with psycopg.connect(url, autocommit=True) as connected:
        for statement in _FORGET:
            given = [name] if "%s" in statement else None
            connected.execute(statement.encode(), given)


def soft(product: Product, *, workers: int) -> Stops:
    """Stop everything that live workers run, each time when all of them run it again."""
    for _ in range(workers):
        product.start_worker()
    flips = [_soft_flip() for _ in range(SOFT_FLIPS)]
    product.end_workers()
    return Stops(
        requested_ms=[requested for requested, _ in flips],
        proven_ms=[proven for _, proven in flips],
    )


def _soft_flip() -> tuple[float, float]:
    wait_for(_all_are_up_to_date, timeout_s=30, what="all know of the release")
    began_s = time.perf_counter()
    stop = actions.request_stop(
        mode="soft", scope="everything", reason="flip", requester=WHO
    )
    requested_s = time.perf_counter()
    actions.prove_stop(stop, prover=WHO)
    proven_s = time.perf_counter()
    release(stop)
    return (requested_s - began_s) * 1000, (proven_s - began_s) * 1000


def _all_are_up_to_date() -> bool:
    version = ControlVersion.objects.get().version
    return not Heartbeat.objects.live().filter(applied_version__lt=version).exists()


def latency(times_ms: Sequence[float]) -> str:
    ordered = sorted(times_ms)
    p50, p99 = (ordered[math.ceil(len(ordered) * part) - 1] for part in (0.5, 0.99))
    return f"p50 {p50:.1f} ms, p99 {p99:.1f} ms, longest {ordered[-1]:.1f} ms"


def ratio(stops: Stops, base: Stops) -> float:
    """Return how many times as long a proof takes as with the base, by their medians."""
    middle = [
        sorted(each.proven_ms)[len(each.proven_ms) // 2] for each in (stops, base)
    ]
    return middle[0] / middle[1]
