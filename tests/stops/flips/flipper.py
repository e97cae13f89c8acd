"""Engages hard stops, proves and releases them, while a crew delivers."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import msgspec
from django.db import connection

from controlplane.stops import actions
from controlplane.stops.models import Stop
from tests.stops.flips.checker import Flip
from tests.stops.flips.rows import Look, flip_of
from tests.waiting import wait_for

WHO = "flipper"


class Timed(msgspec.Struct, frozen=True):
    """A flip, and how long who pressed waited: until it was requested, and all that was met is listed.

    proven_ms: what the product says, from its request to its proof, by PostgreSQL's clock.
    """

    flip: Flip
    requested_ms: float
    proven_ms: float
    listed_ms: float


def flip(
    look: Look, *, size: int, prove: Callable[[Stop], object] | None = None
) -> Timed:
    """Stop everything, prove it, look until nothing of before is under way, and release it.

    size: how many turns are to be settled before the next flip.
    """
    began_s = time.perf_counter()
    stop = engage()
    requested_s = time.perf_counter()
    (prove or prove_stop)(stop)
    listed_s = time.perf_counter()
    seen = look.snapshot()
    wait_until_over(look)
    until = look.snapshot()
    release(stop)
    settled = look.settled()
    wait_for(lambda: look.settled() >= settled + size, what="deliveries go on")
    return Timed(
        flip_of(stop, seen=seen, until=until),
        requested_ms=(requested_s - began_s) * 1000,
        proven_ms=_proof_ms(stop),
        listed_ms=(listed_s - began_s) * 1000,
    )


def _proof_ms(stop: Stop) -> float:
    assert stop.proven_at is not None
    return (stop.proven_at - stop.requested_at) / timedelta(milliseconds=1)


def engage() -> Stop:
    return actions.request_stop(
        mode="hard", scope="everything", reason="flip", requester=WHO
    )


def prove_stop(stop: Stop) -> None:
    actions.prove_stop(stop, prover=WHO)


def release(stop: Stop) -> None:
    assert actions.release_stop(stop, reason="over", releaser=WHO)


def wait_until_over(look: Look) -> None:
    """Return when every delivery that is under way now has ended."""
    before = look.under_way()
    wait_for(lambda: not before & look.under_way(), timeout_s=30, what="they end")


def flip_in_window(look: Look, *, size: int) -> Timed:
    """Flip while all of a crew stand in the window of their gates."""

    def prove(stop: Stop) -> None:
        """Let them go once it is proven, or waits for them."""
        with ThreadPoolExecutor(1) as pool:
            proof = pool.submit(_prove_here, stop)
            wait_for(lambda: proof.done() or look.proof_waits())
            look.open_window()
            proof.result()

    with look.closed_window():
        wait_for(lambda: look.in_window() == size, what="all stand in the window")
        return flip(look, size=size, prove=prove)


def _prove_here(stop: Stop) -> None:
    """Prove it in this thread, whose connection ends with it."""
    try:
        prove_stop(stop)
    finally:
        connection.close()
