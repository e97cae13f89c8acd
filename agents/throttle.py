"""Keeps what many clients of Kafka say many times a second from filling the log."""

import re
import threading
import time

EVERY_S = 60.0
# Whose thread says it, after how long and how often already: it is the same complaint.
_VARYING = re.compile(
    r"^\[thrd:[^]]*\]: | \((?:after|average) .*|\d+(?= request|/\d+ brokers)"
)


class Throttle:
    """Lets a complaint pass when it begins, then once a minute while it lasts. For all threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._said: dict[str, tuple[float, int]] = {}  # when, and how often since

    def admit(self, complaint: str) -> int | None:
        """Return how often it was kept back since it passed, or None to keep it back now."""
        key, now_s = _VARYING.sub("", complaint), time.monotonic()
        with self._lock:
            said_at_s, kept_back = self._said.get(key, (float("-inf"), 0))
            if now_s - said_at_s < EVERY_S:
                self._said[key] = (said_at_s, kept_back + 1)
                return None
            self._forget(now_s - 2 * EVERY_S)
            self._said[key] = (now_s, 0)
            return kept_back

    def _forget(self, before_s: float) -> None:
        for key in [key for key, (at_s, _) in self._said.items() if at_s < before_s]:
            del self._said[key]
