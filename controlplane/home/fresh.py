"""Looks at something slow, and keeps what was seen for two seconds."""

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

FRESH_S = 2.0

T = TypeVar("T")


class Fresh(Generic[T]):
    """One look for all who ask at once, in this process alone."""

    def __init__(self, look: Callable[[], T]) -> None:
        self._look = look
        self._lock = threading.Lock()
        self._seen: tuple[float, T] | None = None

    def read(self) -> T:
        with self._lock:
            if self._seen is None or time.monotonic() - self._seen[0] > FRESH_S:
                seen = self._look()
                self._seen = (time.monotonic(), seen)
            return self._seen[1]
