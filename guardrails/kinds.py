"""The kinds of rules: how each finds its places in a text."""

from bisect import bisect_right
from collections.abc import Callable, Iterator
from itertools import accumulate
from typing import NamedTuple

from guardrails.discount import read_normalised
from guardrails.patterns import (
    Budget,
    Pattern,
    Span,
    compile_pattern,
    compile_terms,
    search,
    search_overlapping,
)
from guardrails.rules import Kind, Rule
from guardrails.text import Normalised


class Subject(NamedTuple):
    """A text with the forms in which rules see it, made once for all rules."""

    text: str
    views: tuple[Normalised, ...]


class Hit(NamedTuple):
    start: int
    end: int
    number: float | None = (
        None  # what a threshold compared; None there: it could not be read
    )


IsExcused = Callable[[Span], bool]
Find = Callable[[Subject, Budget, IsExcused], Iterator[Hit]]


def compile_exceptions(rule: Rule) -> Callable[[Subject, Budget], IsExcused]:
    """Tells whether one of the rule's exceptions covers a place; another place is not excused by it."""
    pattern = compile_terms(rule.exceptions) if rule.exceptions else None

    def excuse(subject: Subject, budget: Budget) -> IsExcused:
        if pattern is None:
            return lambda _: False
        spans = sorted(
            span
            for view in subject.views
            for span in search_overlapping(pattern, view, budget)
        )
        starts = [start for start, _ in spans]
        reach = list(
            accumulate((end for _, end in spans), max)
        )  # how far those that start so early go

        def is_excused(span: Span) -> bool:
            before = bisect_right(starts, span[0])
            return before > 0 and reach[before - 1] >= span[1]

        return is_excused

    return excuse


def _terms(rule: Rule) -> Find:
    return _searching(compile_terms(rule.terms))


def _pattern(rule: Rule) -> Find:
    return _searching(compile_pattern(rule.pattern))


def _searching(pattern: Pattern) -> Find:
    def find(subject: Subject, budget: Budget, is_excused: IsExcused) -> Iterator[Hit]:
        for view in subject.views:
            for span in search(pattern, view, budget, is_excused=is_excused):
                yield Hit(*span)

    return find


def _threshold(rule: Rule) -> Find:
    assert rule.limit is not None  # check_rule has seen to it
    limit = rule.limit

    def find(subject: Subject, _: Budget, is_excused: IsExcused) -> Iterator[Hit]:
        for discount in read_normalised(subject.text, subject.views[0]):
            is_above = discount.percent is None or discount.percent > limit
            if is_above and not is_excused((discount.start, discount.end)):
                yield Hit(discount.start, discount.end, discount.percent)

    return find


KINDS: dict[Kind, Callable[[Rule], Find]] = {
    "terms": _terms,
    "pattern": _pattern,
    "threshold": _threshold,
}
