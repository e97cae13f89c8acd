"""Waiting for a fact, never for a time."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_for(fact: Callable[[], T], *, timeout_s: float = 10.0, what: str = "") -> T:
    """Return the first true value of fact(); fail with what it was last."""
    deadline_s = time.monotonic() + timeout_s
    while True:
        value = fact()
        if value:
            return value
        if time.monotonic() > deadline_s:
            raise AssertionError(
                f"{what or fact} was not so in {timeout_s} s: {value!r}"
            )
        time.sleep(0.02)
