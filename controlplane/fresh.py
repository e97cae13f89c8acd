"""Looks at something slow, and keeps what was seen for a moment."""

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

FRESH_S = 2.0
KEPT_S = 6.0

T = TypeVar("T")


class Fresh(Generic[T]):
    """One look for all who ask at once, in this process alone.

    Who asks while something was seen a moment ago does not wait: it is shown, and looked at anew for the next.
    """

    def __init__(self, look: Callable[[], T]) -> None:
        self._look = look
        self._looking = threading.Lock()
        self._seen: tuple[float, T] | None = None

    def read(self) -> T:
        seen = self._seen
        if seen is None or time.monotonic() - seen[0] > KEPT_S:
            return self._wait()
        if time.monotonic() - seen[0] > FRESH_S and self._looking.acquire(
            blocking=False
        ):
            threading.Thread(target=self._renew, name="look", daemon=True).start()
        return seen[1]

    def peek(self) -> T | None:
        """Wait for nobody: return what was seen not long ago, or nothing, and look anew for the next."""
        seen = self._seen
        age_s = time.monotonic() - seen[0] if seen else KEPT_S + 1
        if age_s > FRESH_S and self._looking.acquire(blocking=False):
            threading.Thread(target=self._renew, name="look", daemon=True).start()
        return seen[1] if seen and age_s <= KEPT_S else None

    def look_again(self) -> T:
        """Look now, as what was seen before has just been changed."""
        with self._looking:
            return self._note()

    def _renew(self) -> None:
        try:
            self._note()
        finally:
            self._looking.release()

    def _wait(self) -> T:
        """Whoever comes while another looks takes what the other sees."""
        with self._looking:
            seen = self._seen
            if seen is not None and time.monotonic() - seen[0] <= FRESH_S:
                return seen[1]
            return self._note()

    def _note(self) -> T:
        found = self._look()
        self._seen = (time.monotonic(), found)
        return found
