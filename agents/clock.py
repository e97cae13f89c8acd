"""A clock that no sleep stops."""

import time

# Counts while the machine or the process sleeps, so that a frozen process knows it is late.
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def now_s() -> float:
    return time.clock_gettime(_CLOCK)
