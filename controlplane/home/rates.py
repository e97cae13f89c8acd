"""Records per second, from the difference of two heartbeats."""

from datetime import datetime

Sample = tuple[datetime, int]
MAX_KEPT = 1_000


class Rates:
    """Keeps the latest two samples of each worker's agent, in this process alone."""

    def __init__(self) -> None:
        self._samples: dict[tuple[str, str], tuple[Sample | None, Sample]] = {}

    def per_second(
        self, instance: str, agent: str, *, seen_at: datetime, done: int
    ) -> float | None:
        """Return the rate between the latest two heartbeats; None until there are two."""
        earlier, latest = self._push((instance, agent), (seen_at, done))
        if earlier is None:
            return None
        seconds = (latest[0] - earlier[0]).total_seconds()
        return max(0, latest[1] - earlier[1]) / seconds

    def _push(self, key: tuple[str, str], new: Sample) -> tuple[Sample | None, Sample]:
        kept = self._samples.get(key)
        if kept is None:
            pair: tuple[Sample | None, Sample] = (None, new)
        elif new[0] > kept[1][0]:
            pair = (kept[1], new)
        else:
            return kept
        if len(self._samples) >= MAX_KEPT:
            self._samples.clear()
        self._samples[key] = pair
        return pair


rates = Rates()
