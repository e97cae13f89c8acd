"""What rules cost where they run: how long each took on its texts, counted in buckets that add up over workers."""

import math
from collections.abc import Iterable, Mapping

import msgspec

EVERY = 8  # one check in so many is timed
_PER_OCTAVE = 4  # a bucket is a fifth wider than the one before
MOST_TOLD = 300  # of a rule-set of thousands those that cost most in all

Buckets = dict[int, int]
Told = dict[str, Buckets]


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """Of the texts that were timed, in µs of computing. What all rules share is not in it."""

    texts: int
    p50_us: float
    p99_us: float


class Costs:
    """Belongs to one engine, and is told by many threads: now and then a count is lost."""

    def __init__(self) -> None:
        self._checks = 0
        self._buckets: Told = {}

    def is_due(self) -> bool:
        self._checks += 1
        return self._checks % EVERY == 0

    def note(self, rule_id: str, took_ns: int) -> None:
        buckets = self._buckets.setdefault(rule_id, {})
        bucket = int(math.log2(max(1, took_ns)) * _PER_OCTAVE)
        buckets[bucket] = buckets.get(bucket, 0) + 1

    def told(self) -> Told:
        """As plain data."""
        rules = {rule: dict(buckets) for rule, buckets in list(self._buckets.items())}
        dearest = sorted(rules, key=lambda rule: _total_ns(rules[rule]), reverse=True)
        return {rule: rules[rule] for rule in dearest[:MOST_TOLD]}


def costs_of(tellings: Iterable[Mapping[str, Mapping[str, int]]]) -> dict[str, Cost]:
    """Add up what workers told, as JSON has it."""
    summed: Told = {}
    for told in tellings:
        for rule, buckets in told.items():
            into = summed.setdefault(rule, {})
            for bucket, count in buckets.items():
                into[int(bucket)] = into.get(int(bucket), 0) + count
    return {
        rule: Cost(
            texts=sum(buckets.values()),
            p50_us=_quantile_us(buckets, 0.5),
            p99_us=_quantile_us(buckets, 0.99),
        )
        for rule, buckets in summed.items()
    }


def _quantile_us(buckets: Buckets, share: float) -> float:
    left = share * sum(buckets.values())
    for bucket in sorted(buckets):
        left -= buckets[bucket]
        if left <= 0:
            break
    return _middle_ns(bucket) / 1000


def _middle_ns(bucket: int) -> float:
    return float(2 ** ((bucket + 0.5) / _PER_OCTAVE))


def _total_ns(buckets: Buckets) -> float:
    return sum(_middle_ns(bucket) * count for bucket, count in buckets.items())
