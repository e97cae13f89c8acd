"""How fast an agent is in one worker: records a second, and how many in each half minute of the latest fifteen minutes."""

import msgspec

WINDOW_S = 10.0  # the rate is over it
BUCKET_S = 30
BUCKETS = 30


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """per_second is None until there is something to compare.

    recent: the latest BUCKETS counts, the bucket numbered until is the last; it is not full yet.
    """

    per_second: float | None = None
    until: int = 0
    recent: tuple[int, ...] = ()


class Pacer:
    """Is told again and again how many records an agent is done with."""

    def __init__(self) -> None:
        self._latest = 0
        self._total = 0
        self._samples: list[tuple[float, int]] = []
        self._counts: dict[int, int] = {}

    def note(self, done: int, *, at_s: float) -> Pace:
        """A count that fell began again at 0, as the runner does that counts."""
        more = done - self._latest if done >= self._latest else done
        self._latest, self._total = done, self._total + more
        until = int(at_s // BUCKET_S)
        self._counts[until] = self._counts.get(until, 0) + more
        for old in [each for each in self._counts if each <= until - BUCKETS]:
            del self._counts[old]
        buckets = range(until - BUCKETS + 1, until + 1)
        return Pace(
            per_second=self._per_second(at_s),
            until=until,
            recent=tuple(self._counts.get(bucket, 0) for bucket in buckets),
        )

    def _per_second(self, at_s: float) -> float | None:
        early = [each for each in self._samples if each[0] <= at_s - WINDOW_S]
        late = self._samples[len(early) :]
        self._samples = [*early[-1:], *late, (at_s, self._total)]
        since_s, total = self._samples[0]
        if at_s <= since_s:
            return None
        return round((self._total - total) / (at_s - since_s), 2)
