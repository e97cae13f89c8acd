"""A text under check: its forms, and what the scanner found in each."""

from collections.abc import Sequence
from itertools import accumulate

from guardrails.alphabet import count_starts
from guardrails.context import Context
from guardrails.scanner import Scanner, Span
from guardrails.text import Normalised, normalise, views

Found = dict[int, list[Span]]  # by the number of an expression its places, in bytes


class View:
    """One form of a text, and what was found in it."""

    def __init__(self, normal: Normalised, data: bytes, found: Found) -> None:
        self.normal = normal
        self.found = found
        self._data = data
        self._counted: Sequence[int] | None = None

    def inside(self, start: int, end: int) -> Span:
        """A place in bytes as one in this form."""
        chars = self._chars()
        return chars[start], chars[end]

    def _chars(self) -> Sequence[int]:
        """How many characters begin before each byte."""
        if self._counted is None:
            is_plain = self.normal.text.isascii()
            starts = () if is_plain else count_starts(self._data)
            self._counted = (
                range(len(self._data) + 1)
                if is_plain
                else list(accumulate(starts, initial=0))
            )
        return self._counted

    def span(self, start: int, end: int) -> Span:
        """A place in bytes as one in the original."""
        return self.normal.span(*self.inside(start, end))


class Subject:
    """Everything that rules may ask about one text; what none of them asks is never made."""

    def __init__(self, text: str, context: Context, seen: Sequence[View]) -> None:
        self.text = text
        self.context = context
        self.views = seen


def read(
    text: str, context: Context, scanner: Scanner, *, has_to: bool = True
) -> Subject | None:
    """None if nothing was found, unless it has to be read anyway."""
    if text.isascii():
        data = scanner.alphabet.encode(text.lower())
        found = _look_at(data, scanner)
        if not found and not has_to:
            return None
        return Subject(text, context, [View(normalise(text), data, found)])
    seen = []
    for normal in views(text):
        data = scanner.alphabet.encode(normal.text)
        seen.append(View(normal, data, _look_at(data, scanner)))
    is_hit = any(view.found for view in seen)
    return Subject(text, context, seen) if is_hit or has_to else None


def _look_at(data: bytes, scanner: Scanner) -> Found:
    """The places that are what they seemed to be."""
    found: Found = {}
    checks = scanner.checks
    for (key, start), end in scanner.scan(data).items():
        check = checks[key]
        if check is None or check(data, start, end):
            found.setdefault(key, []).append((start, end))
    return found
