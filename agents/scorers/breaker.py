"""Spares a service that fails, and those who wait for it."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

FAILURES = 3  # in a row, until nobody asks any more
REST_S = 2.0  # until one may ask again


class OpenError(Exception):
    """It failed too often a moment ago, and is not asked."""


class Breaker:
    """Opens when failures follow each other; then one may try now and then. For one loop."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failures = 0
        self._closed_at_s = 0.0
        self._reason = ""

    @contextmanager
    def guard(self, *failures: type[Exception]) -> Iterator[None]:
        """Count what the block raises of these. OpenError without running it while it is open."""
        self._admit()
        try:
            yield
        except failures as error:
            self._failures += 1
            self._reason = str(error) or type(error).__name__
            self._closed_at_s = self._clock() + REST_S
            raise
        else:
            self._failures = 0

    def _admit(self) -> None:
        if self._failures < FAILURES:
            return
        if self._clock() < self._closed_at_s:
            times = f"{self._failures} times in a row"
            raise OpenError(f"it failed {times} and is spared: {self._reason}")
        self._closed_at_s = (
            self._clock() + REST_S
        )  # for all others, while this one tries
