"""The kinds of rules: what each has the scanner look for, and how it judges what was found."""

import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import accumulate
from typing import NamedTuple

from guardrails import fields
from guardrails.context import judge_score, topic_score
from guardrails.expressions import Expression as Compiled
from guardrails.grammar import UntranslatableError, translate
from guardrails.patterns import Budget, Pattern, Span, compile_pattern, search
from guardrails.pii.finding import look_at
from guardrails.pii.types import TYPES
from guardrails.rules import Kind, OnTimeout, Rule
from guardrails.scanner import Expression, Source, Term, fits
from guardrails.subject import Subject
from guardrails.text import normalise

# Between the words of a term dashes are as good as spaces.
_GAP = re.compile(r"[\s-]*\s[\s-]*")


class Hit(NamedTuple):
    start: int
    end: int
    number: float | None = None  # what was compared; None: it could not be read
    limit: float | None = None
    label: str = ""  # of which type of personal data it is
    because: str = ""  # what a score is owed to


IsExcused = Callable[[Span], bool]
Tick = Callable[[], None]
Fits = Callable[[Source], bool]
Find = Callable[[Subject, range, Budget, IsExcused], Iterable[Hit]]


class Plan(NamedTuple):
    """How a rule is run: on what its sources find, or, without any, on every text."""

    sources: tuple[Source, ...]
    find: Find
    scores: frozenset[str] = frozenset()


def make_terms(terms: Iterable[str]) -> tuple[Term, ...]:
    """Each term as it is written, and as its look-alikes are read."""
    forms = {
        tuple(filter(None, _GAP.split(normalise(term, look_alikes=alike).text)))
        for term in terms
        for alike in (True, False)
    }
    return tuple(Term(words) for words in sorted(forms))


def excuse(subject: Subject, exceptions: range, tick: Tick) -> IsExcused:
    """Tells whether one of the rule's exceptions covers a place; another place is not excused by it."""
    spans = sorted(_places(subject, exceptions, tick)) if exceptions else []
    if not spans:
        return _never
    starts = [start for start, _ in spans]
    # How far those reach that start so early.
    reach = list(accumulate((end for _, end in spans), max))

    def is_excused(span: Span) -> bool:
        before = bisect_right(starts, span[0])
        return before > 0 and reach[before - 1] >= span[1]

    return is_excused


def _never(_: Span) -> bool:
    return False


def _places(subject: Subject, keys: range, tick: Tick) -> Iterator[Span]:
    """Where in the original the sources were found."""
    for view in subject.views:
        for key in view.found:
            if key in keys:
                yield from view.spans(key, tick)
                tick()


def _find_places(
    subject: Subject, keys: range, budget: Budget, is_excused: IsExcused
) -> Iterator[Hit]:
    places = _places(subject, keys, budget.tick)
    return _hits(place for place in places if not is_excused(place))


def _hits(spans: Iterable[Span]) -> Iterator[Hit]:
    """Places of one rule that overlap are one hit: what they cover together."""
    start, end = -1, -1
    for each in sorted(spans):
        if each[0] >= end or each[0] == each[1]:
            if start >= 0:
                yield Hit(start, end)
            start, end = each
        else:
            end = max(end, each[1])
    if start >= 0:
        yield Hit(start, end)


def _terms(rule: Rule, _: Fits) -> Plan:
    return Plan(make_terms(rule.terms), _find_places)


def _pattern(rule: Rule, can_scan: Fits) -> Plan:
    source = plan_pattern(rule.pattern, can_scan)
    if source is not None and source.is_exact:
        return Plan((source,), _find_places)
    find = partial(_search, compile_pattern(rule.pattern), rule.on_timeout)
    return Plan((source,) if source is not None else (), find)


def plan_pattern(pattern: str, can_scan: Fits = fits) -> Expression | None:
    """What hyperscan can do for a pattern, if anything."""
    try:
        source = Expression(translate(pattern))
    except UntranslatableError:
        return None
    return source if can_scan(source) else None


def _search(
    compiled: Pattern,
    on_timeout: OnTimeout,
    subject: Subject,
    _: range,
    budget: Budget,
    is_excused: IsExcused,
) -> Iterator[Hit]:
    spans: list[Span] = []
    try:
        for view in subject.views:
            spans += search(compiled, view.normal, budget, is_excused=is_excused)
    except TimeoutError:
        if on_timeout == "hold" or budget.is_text_over:
            raise
        if on_timeout == "hit":
            spans.append((0, len(subject.text)))
    yield from _hits(spans)


def _pii(rule: Rule, _: Fits) -> Plan:
    types = [
        (name, candidate) for name in rule.types for candidate in TYPES[name].candidates
    ]
    sources = tuple(Expression(translate(candidate)) for _, candidate in types)
    names = [name for name, _ in types]
    for name in rule.types:
        TYPES[name].warm(frozenset(rule.regions))
    return Plan(sources, partial(_find_pii, names, frozenset(rule.regions)))


def _find_pii(
    names: Sequence[str],
    regions: frozenset[str],
    subject: Subject,
    keys: range,
    budget: Budget,
    is_excused: IsExcused,
) -> Iterator[Hit]:
    """names: of which type each of the keys is a candidate."""
    for view in subject.views:
        look = look_at(view.normal.text, regions, budget.tick)
        for name in {
            names[key - keys.start]: None for key in view.found if key in keys
        }:
            for found in TYPES[name].find(look):
                span = view.normal.span(*found)
                if not is_excused(span):
                    yield Hit(*span, label=name)
            budget.tick()


def _threshold(rule: Rule, _: Fits) -> Plan:
    """A field and a limit are an expression that was filled into two boxes."""
    return _compared(f"{rule.field} > limit", rule)


def _expression(rule: Rule, _: Fits) -> Plan:
    return _compared(rule.expression, rule)


def _compared(source: str, rule: Rule) -> Plan:
    compiled = Compiled(source, rule.limit)
    return Plan((), partial(_trip, compiled), compiled.scores)


def _trip(
    compiled: Compiled,
    subject: Subject,
    _: range,
    budget: Budget,
    is_excused: IsExcused,
) -> Iterator[Hit]:
    for hit in compiled.trips(subject, budget.tick):
        if hit.start == hit.end or not is_excused((hit.start, hit.end)):
            yield Hit(*hit)


def _score(name: str, rule: Rule) -> Plan:
    assert rule.limit is not None  # check_rule has seen to it
    find = partial(_find_score, name, rule.limit, rule.is_allow_list)
    return Plan((), find, frozenset({name}))


def _find_score(
    name: str,
    limit: float,
    is_allow_list: bool,  # noqa: FBT001  # partial
    subject: Subject,
    *rest: object,
) -> Iterator[Hit]:
    """What is like an example is hit; with an allow-list, what is like none of them."""
    found = fields.score(subject, name)
    is_far = found.number < limit if is_allow_list else found.number > limit
    if is_far:
        yield Hit(found.start, found.end, found.number, limit, because=found.because)


KINDS: dict[Kind, Callable[[Rule, Fits], Plan]] = {
    "terms": _terms,
    "pattern": _pattern,
    "pii": _pii,
    "threshold": _threshold,
    "expression": _expression,
    "score": lambda rule, _: _score(rule.score, rule),
    "topic": lambda rule, _: _score(topic_score(rule.id), rule),
    "judge": lambda rule, _: _score(judge_score(rule.id), rule),
}
