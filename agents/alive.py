"""A file that is fresh while its process does its work: a health check that asks nobody.

`python -m agents.alive` is the check: it ends with 0 if the file that INTERLOCK_ALIVE_PATH names is
fresh. Kafka and PostgreSQL may be away: no restart would bring them back.
"""

import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

VARIABLE = "INTERLOCK_ALIVE_PATH"
FRESH_S = 30.0
EVERY_S = 2.0


def touch() -> None:
    """Say that work was done just now, if a file is named."""
    if path := os.environ.get(VARIABLE):
        Path(path).touch()


def why_not() -> str:
    """Return why the process cannot be called alive, or nothing if it can."""
    path = os.environ.get(VARIABLE)
    if not path:
        return f"{VARIABLE} names no file"
    try:
        age_s = time.time() - Path(path).stat().st_mtime
    except FileNotFoundError:
        return f"{path} is not there: nothing was done yet"
    return "" if age_s < FRESH_S else f"nothing was done for {age_s:.0f} s"


class Pulse:
    """Touches the file for as long as everything turns."""

    def __init__(self, is_turning: Callable[[], bool]) -> None:
        self._is_turning = is_turning
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pulse", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()

    def beat(self) -> None:
        if self._is_turning():
            touch()

    def _run(self) -> None:
        while not self._stopping.wait(EVERY_S):
            self.beat()


if __name__ == "__main__":
    sys.exit(why_not() or 0)
