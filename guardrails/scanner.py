"""All patterns and terms of a rule-set in one hyperscan database, run once over each form of a text."""

import hashlib
import threading
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import hyperscan

from guardrails.alphabet import EDGES, Alphabet, CharSet
from guardrails.grammar import Collector, Translator, Writer

Span = tuple[int, int]
Check = Callable[[bytes, int, int], bool]

_FLAGS = hyperscan.HS_FLAG_SOM_LEFTMOST
_BETWEEN = CharSet(((0x2D, 0x2D),), frozenset({"space"}))  # spaces and dashes
SCAN_BUDGET_S = 0.1
_LOOK_EVERY = 512  # how often a flood of hits looks at the clock; a power of two


class Term(NamedTuple):
    """Words in their folded form, any spaces or dashes between them. Edges of words hyperscan is not asked for: with them
    a thousand words take a hundred times as long to compile."""

    words: tuple[str, ...]

    def write(self, writer: Writer) -> str:
        return f"{writer.one_of(_BETWEEN)}+".join(map(writer.literal, self.words))

    @property
    def check(self) -> Check:
        return _stands_alone


class Expression(NamedTuple):
    """A pattern, or wider than it: what is found then says only that it must be looked for."""

    translator: Translator
    has_starts: bool = True

    @property
    def is_exact(self) -> bool:
        return self.has_starts and self.translator.is_exact

    def write(self, writer: Writer) -> str:
        return self.translator.write(writer)

    @property
    def check(self) -> None:
        return None


Source = Term | Expression


class Places(dict[tuple[int, int], int]):
    """(number of the expression, start) to the end."""

    deadline_s = (
        0.0  # of the thread's own time; set when a flood makes it worth looking
    )


class FloodError(Exception):
    """Hits without end have used up the time for one text."""


class UnfitError(Exception):
    """hyperscan does not take one of the expressions."""


class Scanner:
    """A database and what belongs to it; each thread has a scratch of its own."""

    def __init__(self, sources: Sequence[Source], stored: bytes = b"") -> None:
        """stored: what `dump` gave for the same sources; anything else is compiled anew."""
        collector = Collector()
        for source in sources:
            source.write(collector)
        self.alphabet = Alphabet(dict.fromkeys(collector.sets))
        self.checks = [source.check for source in sources]
        self._written = [
            source.write(self.alphabet).encode("latin-1") for source in sources
        ]
        self._flags = [
            _FLAGS if isinstance(each, Term) or each.has_starts else 0
            for each in sources
        ]
        self._database = self._make(stored) if sources else None
        self._scratches = threading.local()

    def dump(self) -> bytes:
        if self._database is None:
            return b""
        return self._print() + hyperscan.dumpb(self._database)

    def scan(self, data: bytes) -> Places:
        """FloodError when there are too many hits to be looked at."""
        found = Places()
        if self._database is None:
            return found
        try:
            scratch = self._scratches.own
        except AttributeError:
            scratch = self._scratches.own = hyperscan.Scratch(self._database)
        try:
            self._database.scan(data, _note, 0, found, scratch)
        except hyperscan.ScanTerminated:
            raise FloodError("there are too many hits to be looked at") from None
        return found

    def _make(self, stored: bytes) -> hyperscan.Database:
        name = self._print()
        if stored.startswith(name):
            try:
                return hyperscan.loadb(stored[len(name) :], hyperscan.HS_MODE_BLOCK)
            except hyperscan.error:  # made on another kind of machine
                pass
        return compile_database(self._written, self._flags)

    def _print(self) -> bytes:
        parts = zip(self._written, self._flags, strict=True)
        return hashlib.sha256(repr(list(parts)).encode()).digest()


def fits(source: Source) -> bool:
    try:
        Scanner([source])
    except UnfitError:
        return False
    return True


def compile_database(
    expressions: Sequence[bytes], flags: Sequence[int]
) -> hyperscan.Database:
    """Takes its time, in which other threads run. UnfitError does not say which expression it was."""
    database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
    try:
        database.compile(
            expressions=expressions, ids=range(len(expressions)), flags=flags
        )
    except hyperscan.error as error:
        raise UnfitError(str(error)) from error
    return database


def _note(key: int, start: int, end: int, _: int, found: object) -> bool:
    """Keep the longest of the places with one start, which come in the order of their ends."""
    assert isinstance(found, Places)
    found[key, start] = end
    if end % _LOOK_EVERY and len(found) % _LOOK_EVERY:
        return False
    found.deadline_s = found.deadline_s or time.thread_time() + SCAN_BUDGET_S
    return time.thread_time() > found.deadline_s


def _stands_alone(data: bytes, start: int, end: int) -> bool:
    """No letter goes on beyond an end that is a letter itself."""
    if start > 0 and data[start - 1] in EDGES and data[start] in EDGES:
        return False
    return not (end < len(data) and data[end] in EDGES and data[end - 1] in EDGES)
