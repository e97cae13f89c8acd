"""Sums of money that a sentence takes off a price, as percentages of it."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from guardrails import discount_words as words
from guardrails.quantities import Quantity


class Offer(NamedTuple):
    """What a sentence offers, and where in it; None cannot be read."""

    percent: float | None
    start: int
    end: int


def offered_sums(sentence: str, money: Sequence[Quantity]) -> Iterator[Offer]:
    """A sum off: of the next larger sum of the sentence, which gives the largest percentage."""
    offered = [amount for amount in money if _is_off(sentence, amount)]
    places = {amount.start for amount in offered}
    bases = sorted(
        (amount.value or 0) for amount in money if amount.start not in places
    )
    for amount in offered:
        value = amount.value or 0
        base = next(iter(bases[bisect_left(bases, value) :]), 0)
        yield Offer(
            round(value / base * 100, 2) if base else None, amount.start, amount.end
        )


def _is_off(sentence: str, amount: Quantity) -> bool:
    before = sentence[max(0, amount.start - 40) : amount.start]
    return bool(
        words.SUM_OFF.match(sentence, amount.end) or words.OFF_SUM.search(before)
    )


def lowered_prices(sentence: str, money: Sequence[Quantity]) -> Iterator[Offer]:
    for first, second in pairwise(money):
        was, now = first.value or 0, second.value or 0
        before = sentence[max(0, first.start - 40) : first.start]
        if (
            _is_lowered(before, sentence[first.end : second.start], falls=now < was)
            and was != now
        ):
            percent = abs(was - now) / max(was, now) * 100
            yield Offer(round(percent, 2), first.start, second.end)


def _is_lowered(before: str, between: str, *, falls: bool) -> bool:
    """ "was A, now B", "A instead of B", "drop the price from A to B" and "to B from A"."""
    is_moved = words.LESS.search(before) and words.FROM_TO.search(between)
    is_instead = words.INSTEAD.search(
        before[-20:] if falls else ""
    ) or words.INSTEAD.search(between)
    return bool(is_moved or is_instead or (falls and words.NOW.search(between)))


def bare_sums(sentence: str, quantities: Sequence[Quantity]) -> Iterator[Offer]:
    """ "5000 off", "five thousand off": a number that is no quantity, and off."""
    taken = {quantity.end for quantity in quantities}
    for found in words.BARE_OFF.finditer(sentence):
        if not any(place in taken for place in range(found.start() + 1, found.end())):
            yield Offer(None, *found.span())
