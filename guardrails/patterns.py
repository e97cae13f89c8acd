"""What hyperscan cannot run: patterns with look-around or back-references, searched within a budget of time."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import regex  # type: ignore[import-untyped]

from guardrails.alphabet import UNSPACED
from guardrails.text import Normalised

Pattern = Any  # regex has no types
Span = tuple[int, int]

BUDGET_S = 0.05  # for one rule
TEXT_BUDGET_S = 0.25  # for all rules of one text
SPENT = "is used up"

_LETTER = r"[\p{L}\p{M}\p{N}]"
_SPACED = rf"(?:\p{{Nd}}|(?![{UNSPACED}]){_LETTER})"
_EDGE = rf"(?:(?!(?<={_SPACED}){_SPACED})(?:(?<={_LETTER})|(?={_LETTER})))"
_REWRITTEN = {
    r"\b": _EDGE,
    r"\B": f"(?!{_EDGE})",
    r"\w": r"[\p{L}\p{M}\p{N}_]",
    r"\W": r"[^\p{L}\p{M}\p{N}_]",
    r"\s": r"[\s\x1c-\x1f]",
    r"\S": r"[^\s\x1c-\x1f]",
}
_IN_CLASS = {r"\w": r"\p{L}\p{M}\p{N}_", r"\s": r"\s\x1c-\x1f"}
_PIECE = regex.compile(r"\\.|\[\^?\]?|\]|[^\\\[\]]+", regex.DOTALL)


def compile_pattern(pattern: str) -> Pattern:
    """Raises regex.error with the position of what is wrong."""
    regex.compile(pattern, regex.IGNORECASE | regex.FULLCASE)
    return regex.compile(rewrite(pattern), regex.IGNORECASE | regex.FULLCASE)


def rewrite(pattern: str) -> str:
    r"""The pattern with \b, \B, \w and \W as they are meant for every script."""
    parts = []
    is_in_class = False
    for piece in _PIECE.findall(pattern):
        ways = _IN_CLASS if is_in_class else _REWRITTEN
        parts.append(ways.get(piece, piece))
        if piece[0] in "[]":
            is_in_class = piece[0] == "["
    return "".join(parts)


class Budget:
    """Computing time of this thread, which what is done for one rule shares.

    regex counts what all threads of the process use: in a busy one it gives up what has hardly
    begun. That is begun again as long as there is time left, and pays for both.
    """

    def __init__(self, seconds: float, within: "Budget | None" = None) -> None:
        self._left = seconds
        self._within = within
        self._ticked_s = time.thread_time()

    @property
    def is_text_over(self) -> bool:
        """Tell whether others had the time, so that it says nothing of the one rule."""
        return self._within is not None and self._within.left_s <= 0

    @property
    def left_s(self) -> float:
        within = self._within.left_s if self._within else self._left
        return min(self._left, within)

    def tick(self) -> None:
        """Pay for the time since the tick before; TimeoutError when there is none left."""
        now_s = time.thread_time()
        self._left -= now_s - self._ticked_s
        self._ticked_s = now_s
        if self._within:
            self._within.tick()
        if self._left <= 0:
            whose = "one rule" if self._within else "the text"
            raise TimeoutError(f"the time for {whose} {SPENT}")

    def search(self, pattern: Pattern, text: str, at: int) -> Any:
        while True:
            self.tick()
            try:
                return pattern.search(text, at, timeout=self.left_s)
            except TimeoutError:  # how much of it was ours is seen by the next tick
                continue


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
