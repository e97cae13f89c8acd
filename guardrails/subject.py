"""A text under check: its forms, and what the scanner found in each."""

from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate

from guardrails.alphabet import count_starts
from guardrails.context import Context
from guardrails.scanner import PatternFinder, Scanner, Span, TermFinder
from guardrails.text import Normalised, normalise, views

Places = dict[int, list[Span]]  # in bytes, by the number of the expression


class View:
    """One form of a text. found: the expressions that have a place in it, of terms with their places."""

    def __init__(
        self, normal: Normalised, data: bytes, found: Places, scanner: Scanner
    ) -> None:
        self.normal = normal
        self.found = found
        self._data = data
        self._scanner = scanner
        self._counted: Sequence[int] | None = None

    def spans(self, key: int, tick: Callable[[], None]) -> Iterator[Span]:
        """The places of an expression in the original; of a pattern they are looked for now."""
        finder = self._scanner.finders[key]
        places: Iterator[Span] = iter(self.found[key])
        if isinstance(finder, PatternFinder):
            places = finder.places(self._data, tick)
        chars = self._chars()
        return (self.normal.span(chars[start], chars[end]) for start, end in places)

    def _chars(self) -> Sequence[int]:
        """How many characters begin before each byte."""
        if self._counted is None:
            is_plain = self.normal.text.isascii()
            starts = b"" if is_plain else count_starts(self._data)
            self._counted = (
                range(len(self._data) + 1)
                if is_plain
                else list(accumulate(starts, initial=0))
            )
        return self._counted


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
        return Subject(text, context, [View(normalise(text), data, found, scanner)])
    looked = [
        (normal, data := _encode(normal, scanner), _look_at(data, scanner))
        for normal in views(text)
    ]
    if not has_to and not any(found for _, _, found in looked):
        return None
    return Subject(text, context, [View(*each, scanner) for each in looked])


def _encode(normal: Normalised, scanner: Scanner) -> bytes:
    if normal.composed:
        return scanner.alphabet.encode_composed(normal.composed)
    return scanner.alphabet.encode(normal.text)


def _look_at(data: bytes, scanner: Scanner) -> Places:
    """What was found, without terms that are only a part of a word."""
    looked: Places = {}
    hits = scanner.scan(data)
    if not hits:
        return looked
    finders = scanner.finders
    for key, ends in hits.items():
        finder = finders[key]
        if not isinstance(finder, TermFinder):
            looked[key] = []
        elif whole := [p for end in ends if (p := finder.locate(data, end))]:
            looked[key] = whole
    return looked
