"""A text under check: its forms, and what the scanner found in each."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import accumulate

from guardrails.alphabet import count_starts
from guardrails.context import Context
from guardrails.scanner import Places, Scanner, Span
from guardrails.text import Normalised, views

NOTHING: Sequence[Span] = ()


class View:
    """One form of a text with the places in it, which are looked up by the number of their expression."""

    def __init__(self, normal: Normalised, data: bytes, places: Places) -> None:
        self.normal = normal
        self.data = data
        self._places = places

    @cached_property
    def found(self) -> dict[int, list[Span]]:
        found: dict[int, list[Span]] = {}
        for (key, start), end in self._places.items():
            found.setdefault(key, []).append((start, end))
        return found

    @cached_property
    def _chars(self) -> Sequence[int]:
        """How many characters begin before each byte."""
        if self.normal.text.isascii():
            return range(len(self.data) + 1)
        return list(accumulate(count_starts(self.data), initial=0))

    def inside(self, start: int, end: int) -> Span:
        """A place in bytes as one in this form."""
        return self._chars[start], self._chars[end]

    def span(self, start: int, end: int) -> Span:
        """A place in bytes as one in the original."""
        return self.normal.span(*self.inside(start, end))


class Subject:
    """Everything that rules may ask about one text; what none of them asks is never made."""

    def __init__(self, text: str, context: Context, seen: Sequence[View]) -> None:
        self.text = text
        self.context = context
        self.views = seen

    @cached_property
    def keys(self) -> set[int]:
        return {key for view in self.views for key in view.found}

    def places(self, key: int) -> Iterator[tuple[View, int, int]]:
        for view in self.views:
            for start, end in view.found.get(key, NOTHING):
                yield view, start, end


def read(text: str, context: Context, scanner: Scanner) -> Subject:
    seen = []
    for normal in views(text):
        data = scanner.alphabet.encode(normal.text)
        seen.append(View(normal, data, scanner.scan(data)))
    return Subject(text, context, seen)
