"""Patterns and terms as compiled expressions, searched within a budget of time."""

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import regex  # type: ignore[import-untyped]

from guardrails.text import Normalised, normalise

Pattern = Any  # regex has no types
Span = tuple[int, int]

BUDGET_SECONDS = 0.05

# Scripts that write words without spaces, or glue endings to them: there a term may stand anywhere.
_UNSPACED = (
    r"\p{Han}\p{Hiragana}\p{Katakana}\p{Hangul}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
)
_LETTER = rf"[[\p{{L}}\p{{M}}\p{{N}}]--[{_UNSPACED}]]"
_IS_LETTER = regex.compile(_LETTER, regex.V1)


def compile_pattern(pattern: str) -> Pattern:
    """Raises regex.error with the position of what is wrong."""
    return regex.compile(pattern, regex.IGNORECASE | regex.FULLCASE)


def compile_terms(terms: Iterable[str]) -> Pattern:
    """One expression for all terms, each a whole word or words, the longest first."""
    forms = {
        normalise(term.strip(), look_alikes=alike).text
        for term in terms
        for alike in (True, False)
    }
    longest_first = sorted(forms, key=lambda form: (-len(form), form))
    return regex.compile("|".join(map(_bounded, longest_first)), regex.V1)


def _bounded(term: str) -> str:
    """The term between word boundaries, where its own ends are letters; its spaces match any space or dash."""
    words = r"[\s\-]+".join(regex.escape(word) for word in term.split())
    before = rf"(?<!{_LETTER})" if _IS_LETTER.match(term[:1]) else ""
    after = rf"(?!{_LETTER})" if _IS_LETTER.match(term[-1:]) else ""
    return before + words + after


class Budget:
    """Computing time of this thread, which the searches of one rule share.

    regex counts what all threads of the process use: in a busy one it gives up what has hardly
    begun. That is begun again as long as there is time left, and pays for both.
    """

    def __init__(self, seconds: float = BUDGET_SECONDS) -> None:
        self._left = seconds

    def search(self, pattern: Pattern, text: str, at: int) -> Any:
        while self._left > 0:
            start = time.thread_time()
            try:
                return pattern.search(text, at, timeout=self._left)
            except TimeoutError:  # how much of it was ours is seen below
                continue
            finally:
                self._left -= time.thread_time() - start
        raise TimeoutError("the time for one rule is used up")


def search(
    pattern: Pattern,
    view: Normalised,
    budget: Budget,
    *,
    is_excused: Callable[[Span], bool],
) -> Iterator[Span]:
    """Places in the original. After an excused one it goes on one character later, so that nothing hides behind it."""
    at = 0
    while found := budget.search(pattern, view.text, at):
        span = view.span(*found.span())
        if is_excused(span):
            at = found.start() + 1
        else:
            yield span
            at = max(found.end(), found.start() + 1)


def search_overlapping(
    pattern: Pattern, view: Normalised, budget: Budget
) -> Iterator[Span]:
    """Places in the original, of which one may begin inside of another."""
    at = 0
    while found := budget.search(pattern, view.text, at):
        yield view.span(*found.span())
        at = found.start() + 1
