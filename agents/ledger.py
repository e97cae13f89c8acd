"""Which offsets of one partition are under way, and up to where all are done."""

from collections import deque


class Ledger:
    """Only the contiguous finished prefix counts: what is done behind a gap waits for it.

    begin() in the order of the log; start(), rest() and finish() in any order, from any thread.
    """

    def __init__(self, start: int | None = None) -> None:
        """start: where reading begins, if that is not what Kafka has as committed."""
        self.revoked = False
        self._open: deque[int] = deque()
        self._started: set[int] = set()
        self._finished: set[int] = set()
        self._next = start

    def begin(self, offset: int) -> None:
        self._open.append(offset)

    def start(self, offset: int) -> None:
        self._started.add(offset)

    def rest(self, offset: int) -> None:
        self._started.discard(offset)

    def finish(self, offset: int) -> None:
        self._finished.add(offset)
        self._started.discard(offset)

    def next_offset(self) -> int | None:
        """Return the offset to commit, or None while Kafka has it."""
        while self._open and self._open[0] in self._finished:
            offset = self._open.popleft()
            self._finished.discard(offset)
            self._next = offset + 1
        return self._next

    def position(self) -> int | None:
        """Return the first offset that is not known to be done. Safe from any thread."""
        if self._next is not None:
            return self._next
        return next(iter(self._open.copy()), None)

    @property
    def span(self) -> int:
        """Return how many would be repeated, were the process killed now."""
        return len(self._open)

    @property
    def running(self) -> int:
        """Return how many are begun and not done."""
        return len(self._started)

    @property
    def in_flight(self) -> int:
        """Return how many are taken from Kafka and not done."""
        return len(self._open) - len(self._finished)
