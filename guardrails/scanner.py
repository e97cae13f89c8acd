"""All patterns and terms of a rule-set in one hyperscan database, run once over each form of a text."""

import hashlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import hyperscan
import re2
import regex  # type: ignore[import-untyped]

from guardrails.alphabet import EDGES, Alphabet, CharSet
from guardrails.grammar import Collector, Translator, Writer

Span = tuple[int, int]

SCAN_BUDGET_S = 0.1
# Of 17 bytes and more hyperscan 5.4.12 does not always see what ends with the last one, beside \b, \z and the like.
# So something stands behind each text; to \b it is no letter.
_BEHIND = b"\0"
_LOOK_EVERY = 512  # ends of one term, after which a flood looks at the clock
_BETWEEN = CharSet(((0x2D, 0x2D),), frozenset({"space"}))  # spaces and dashes


class Found(dict[int, list[int]]):
    """The number of an expression to the ends of its places; of a pattern one is enough."""

    deadline_s = (
        0.0  # of the thread's own time; set when a flood makes it worth looking
    )


class FloodError(Exception):
    """Hits without end have used up the time for one text."""


class UnfitError(Exception):
    """hyperscan does not take one of the expressions."""


class Term(NamedTuple):
    """Words in their folded form, any spaces or dashes between them. Edges of words hyperscan is not asked for: with them
    a thousand words take a hundred times as long to compile."""

    words: tuple[str, ...]

    @property
    def flags(self) -> int:
        return 0

    def write(self, writer: Writer) -> str:
        return f"{writer.one_of(_BETWEEN)}+".join(map(writer.literal, self.words))

    def make_finder(self, alphabet: Alphabet) -> "TermFinder":
        words = [alphabet.encode(word) for word in self.words]
        return TermFinder(words[::-1], _gap(alphabet) if len(words) > 1 else None)


class Expression(NamedTuple):
    """A pattern. If it is not exact, it says only in which texts `regex` must look for it."""

    translator: Translator

    @property
    def flags(self) -> int:
        return int(hyperscan.HS_FLAG_SINGLEMATCH)

    @property
    def is_exact(self) -> bool:
        return self.translator.is_exact

    def write(self, writer: Writer) -> str:
        """Without ends: hyperscan always sees something behind a text."""
        return self.translator.write(writer, with_ends=False)

    def make_finder(self, alphabet: Alphabet) -> "PatternFinder | None":
        written = self.translator.write(alphabet).encode("latin-1")
        return PatternFinder(written) if self.is_exact else None


Source = Term | Expression


class TermFinder(NamedTuple):
    """Goes back from the end of a term to its start: over its words, the last one first, and what is between them."""

    words: Sequence[bytes]
    gap: regex.Pattern | None

    def locate(self, data: bytes, end: int) -> Span | None:
        """None if a letter goes on beyond an end that is a letter itself."""
        if end < len(data) and data[end] in EDGES and data[end - 1] in EDGES:
            return None
        start = end - len(self.words[0])
        for word in self.words[1:]:
            assert self.gap is not None
            start = self.gap.match(data, 0, start).start() - len(word)
        is_joined = start > 0 and data[start - 1] in EDGES and data[start] in EDGES
        return None if is_joined else (start, end)


class PatternFinder:
    """The places of a pattern in linear time, each the longest that begins first."""

    def __init__(self, written: bytes) -> None:
        """Raises UnfitError."""
        try:
            self._compiled = re2.compile(written, options=_OPTIONS)
        except re2.error as error:
            raise UnfitError(str(error)) from error

    def search(self, data: bytes, at: int) -> Span | None:
        found = self._compiled.search(data, at)
        return found.span() if found else None

    def places(self, data: bytes, tick: Callable[[], None]) -> Iterator[Span]:
        """Every start with its longest end: one may begin inside of another."""
        at = 0
        while found := self.search(data, at):
            tick()
            yield found
            at = found[0] + 1


_OPTIONS = re2.Options()
_OPTIONS.encoding = re2.Options.Encoding.LATIN1
_OPTIONS.longest_match = True
_OPTIONS.log_errors = False


class Scanner:
    """A database and what belongs to it; each thread has a scratch of its own."""

    def __init__(self, sources: Sequence[Source], stored: bytes = b"") -> None:
        """stored: what `dump` gave for the same sources; anything else is compiled anew. Raises UnfitError."""
        collector = Collector()
        for source in sources:
            source.write(collector)
        self.alphabet = Alphabet(dict.fromkeys(collector.sets))
        self.finders = [source.make_finder(self.alphabet) for source in sources]
        self._written = [
            source.write(self.alphabet).encode("latin-1") for source in sources
        ]
        self._flags = [source.flags for source in sources]
        self._database = self._make(stored) if sources else None
        self._scratches = threading.local()

    def dump(self) -> bytes:
        if self._database is None:
            return b""
        body = hyperscan.dumpb(self._database)
        return self._print() + hashlib.sha256(body).digest() + body

    def scan(self, data: bytes) -> Found:
        """FloodError when there are too many hits to be looked at."""
        found = Found()
        if self._database is None:
            return found
        try:
            scratch = self._scratches.own
        except AttributeError:
            scratch = self._scratches.own = hyperscan.Scratch(self._database)
        try:
            self._database.scan(data + _BEHIND, _note, 0, found, scratch)
        except hyperscan.ScanTerminated:
            raise FloodError("there are too many hits to be looked at") from None
        return found

    def _make(self, stored: bytes) -> hyperscan.Database:
        """hyperscan trusts what it loads: bytes that are not whole would end the process."""
        name, check, body = stored[:32], stored[32:64], stored[64:]
        if name == self._print() and check == hashlib.sha256(body).digest():
            try:
                return hyperscan.loadb(body, hyperscan.HS_MODE_BLOCK)
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


def _note(key: int, _: int, end: int, __: int, found: object) -> bool:
    """Keep a place. Returning true ends the scan."""
    assert isinstance(found, Found)
    ends = found.get(key)
    if ends is None:
        found[key] = [end]
        return False
    ends.append(end)
    if len(ends) % _LOOK_EVERY:
        return False
    found.deadline_s = found.deadline_s or time.thread_time() + SCAN_BUDGET_S
    return time.thread_time() > found.deadline_s


def _gap(alphabet: Alphabet) -> regex.Pattern:
    """What is between two words, read from its end."""
    return regex.compile(f"(?r)(?:{alphabet.one_of(_BETWEEN)})+".encode("latin-1"))
