"""What a type of personal data is made of, and what finders share."""

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

import regex  # type: ignore[import-untyped]

from guardrails.alphabet import UNSPACED

Span = tuple[int, int]
Regions = frozenset[str]
Tick = Callable[[], None]

_UNSPACED = regex.compile(rf"[{UNSPACED}]")
_SIGN = "\N{IDEOGRAPHIC COMMA}"  # is part of nothing that is looked for


class Look(NamedTuple):
    """A folded text, and whose numbers are meant; tick is called now and then by what may take long.

    text: with a sign in the place of each letter of scripts without spaces, since beside those every place is an edge.
    written: with these letters.
    """

    text: str
    regions: Regions
    tick: Tick
    written: str


def look_at(written: str, regions: Regions, tick: Tick) -> Look:
    text = written if written.isascii() else _UNSPACED.sub(_SIGN, written)
    return Look(text, regions, tick, written)


Find = Callable[[Look], Iterator[Span]]


class Finder(NamedTuple):
    """candidates: patterns without look-around; a text that has none of them has nothing to find.

    find: the places that are one. sample: what makes it load all of its tables, which takes too long for a text.
    """

    placeholder: str
    candidates: tuple[str, ...]
    find: Find
    sample: str = ""

    def warm(self, regions: Regions) -> None:
        for _ in self.find(look_at(self.sample, regions, _wait)):
            pass


def _wait() -> None:
    """There is time."""


class Group(NamedTuple):
    """Digits, and perhaps a sign or bracket before them, as they stand together."""

    start: int
    end: int
    digits: str


# What may stand between the digits of a number; over lines only if it has check digits.
BETWEEN = r" \t().\-/"
BETWEEN_LINES = rf"{BETWEEN}\r\n"
RUN = re.compile(rf"[0-9](?:[{BETWEEN}]{{0,2}}[0-9])+")
RUN_OVER_LINES = re.compile(rf"[0-9](?:[{BETWEEN_LINES}]{{0,2}}[0-9])+")
_DIGITS = re.compile(r"[0-9]+")


def windows(
    look: Look, run_of: re.Pattern[str], *, low: int, high: int
) -> Iterator[list[tuple[Group, ...]]]:
    """For each group of digits the runs that begin with it and have so many digits, longest first."""
    for run in run_of.finditer(look.text):
        found = _DIGITS.finditer(look.text, *run.span())
        groups = [Group(*each.span(), each[0]) for each in found]
        for first in range(len(groups)):
            look.tick()
            yield list(_runs(groups, first, low, high))[::-1]


def _runs(
    groups: list[Group], first: int, low: int, high: int
) -> Iterator[tuple[Group, ...]]:
    count = 0
    for last in range(first, len(groups)):
        count += len(groups[last].digits)
        if count > high:
            return
        if count >= low:
            yield tuple(groups[first : last + 1])


def is_spoken_of(text: str, start: int, words: re.Pattern[str]) -> bool:
    """Whether one of the words stands shortly before."""
    return bool(words.search(text, max(0, start - 40), start))


def stands_alone(text: str, start: int, end: int) -> bool:
    """Not inside of a longer word or number."""
    before, after = text[start - 1 : start], text[end : end + 1]
    return not (before.isalnum() or after.isalnum())
