r"""Text as the bytes that hyperscan sees, so that \b is right in every script and no set is large.

Letters of scripts that are written with spaces, and all digits, become capital ASCII letters, which folded text has none
of; whatever else is not ASCII becomes bytes above 127. So hyperscan's own \b, which knows ASCII alone, falls on the edges
of words. Code points that no rule tells apart share one code.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Literal, NamedTuple

import regex  # type: ignore[import-untyped]

from guardrails.text import fold_character

Category = Literal["digit", "spaced", "unspaced", "space", "line", "other"]

# Scripts that write words without spaces, or glue endings to them: there a word may begin anywhere.
UNSPACED = (
    r"\p{Han}\p{Hiragana}\p{Katakana}\p{Hangul}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
)
_PATTERNS: tuple[tuple[Category, str], ...] = (
    ("digit", r"\p{Nd}"),
    ("unspaced", rf"[[\p{{L}}\p{{M}}\p{{N}}]&&[{UNSPACED}]]"),
    ("spaced", r"[\p{L}\p{M}\p{N}]"),
    ("space", r"[\s\x1c-\x1f]"),  # as `re` has it
    ("line", "_"),  # for \w it is a letter, for \b it is none
)
_COMPILED = [(name, regex.compile(pattern, regex.V1)) for name, pattern in _PATTERNS]
_CATEGORIES: tuple[Category, ...] = (*(name for name, _ in _PATTERNS), "other")
WORD: frozenset[Category] = frozenset({"digit", "spaced", "unspaced"})
OF_WORDS: frozenset[Category] = frozenset({"digit", "spaced"})

_FIRST_CODED = 0x80
_MOST_LEARNT = 1 << 16
_LOW_LINE = "\xff"
_ASCII = [code for code in range(_FIRST_CODED) if not "A" <= chr(code) <= "Z"]
EDGES = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")


class CharSet(NamedTuple):
    """Which characters of a folded text are meant: those of a range or category, or all others."""

    ranges: tuple[tuple[int, int], ...] = ()
    categories: frozenset[Category] = frozenset()
    is_negated: bool = False

    def has(self, code: int, category: Category) -> bool:
        is_in = category in self.categories or any(
            low <= code <= high for low, high in self.ranges
        )
        return is_in != self.is_negated


@lru_cache(maxsize=1 << 14)
def category_of(char: str) -> Category:
    for name, pattern in _COMPILED:
        if pattern.fullmatch(char):
            return name
    return "other"


class _Codes:
    """Numbers as codes of one head and as many tails as it takes; no code begins inside another."""

    def __init__(self, heads: str, tails: str) -> None:
        self._heads, self._tails = heads, tails
        self._length = 1
        self.any = ""

    def fit(self, count: int) -> None:
        while len(self._heads) * len(self._tails) ** self._length < count:
            self._length += 1
        self.any = _class(self._heads) + _class(self._tails) * self._length

    def code(self, number: int) -> str:
        tails = ""
        for _ in range(self._length):
            number, at = divmod(number, len(self._tails))
            tails = self._tails[at] + tails
        return self._heads[number] + tails


_WORD_TAILS, _OTHER_TAILS = "NOPQRSTUVWXYZ", "".join(map(chr, range(0xC0, 0xFF)))
_IS_START = bytes(chr(byte) not in _WORD_TAILS + _OTHER_TAILS for byte in range(0x100))


class _Atom(NamedTuple):
    """Characters that no set of the rules tells apart, of which `code` is one, if it has the category."""

    code: int
    category: Category
    number: int

    @property
    def is_of_words(self) -> bool:
        return self.category in OF_WORDS


class Alphabet(dict[int, str]):
    """The code of each code point, as str.translate takes it; it learns what it is asked for."""

    def __init__(self, sets: Iterable[CharSet]) -> None:
        super().__init__({code: chr(code) for code in range(_FIRST_CODED)})
        self[ord("_")] = _LOW_LINE
        ranges = {
            (max(low, _FIRST_CODED), high)
            for one in sets
            for low, high in one.ranges
            if high >= _FIRST_CODED
        }
        self._cuts, self._groups = _divide(ranges)
        self._codes = {
            True: _Codes("ABCDEFGHIJKLM", _WORD_TAILS),
            False: _Codes("".join(map(chr, range(0x80, 0xC0))), _OTHER_TAILS),
        }
        self._atoms = {
            (group, atom.category): atom for group, atom in _number(self._groups)
        }
        self._written: dict[CharSet, str] = {}
        self._folding = _Folding(self)
        for is_of_words, codes in self._codes.items():
            codes.fit(sum(a.is_of_words is is_of_words for a in self._atoms.values()))

    def __missing__(self, code: int) -> str:
        group = self._groups[bisect_right(self._cuts, code) - 1]
        found = self._code(self._atoms[group.number, category_of(chr(code))])
        if len(self) < _MOST_LEARNT:
            self[code] = found
        return found

    def encode(self, text: str) -> bytes:
        """What is not ASCII costs some 40 ns a character."""
        if text.isascii():
            return text.replace("_", _LOW_LINE).encode("latin-1")
        return text.translate(self).encode("latin-1")

    def encode_composed(self, text: str) -> bytes:
        """The bytes of a text that is not folded yet, with look-alikes as Latin letters."""
        return text.translate(self._folding).encode("latin-1")

    def literal(self, text: str) -> str:
        """The pattern of a folded text."""
        return "".join(map(_escape, text.translate(self)))

    def one_of(self, chars: CharSet) -> str:
        """The pattern of one character of a set."""
        if chars not in self._written:
            self._written[chars] = self._write(chars)
        return self._written[chars]

    def _write(self, chars: CharSet) -> str:
        plain = [self[c] for c in _ASCII if chars.has(c, category_of(chr(c)))]
        ways = [_class("".join(plain))] if plain else []
        for is_of_words in (True, False):
            ways += self._coded(chars, is_of_words=is_of_words)
        return f"(?:{'|'.join(ways)})" if ways else "(?:[A-M][A-M])"  # never in a text

    def _coded(self, chars: CharSet, *, is_of_words: bool) -> Iterator[str]:
        atoms = [a for a in self._atoms.values() if a.is_of_words is is_of_words]
        meant = [atom for atom in atoms if chars.has(atom.code, atom.category)]
        if len(meant) == len(atoms):
            yield self._codes[is_of_words].any
            return
        ends: dict[str, str] = {}
        for code in map(self._code, meant):
            ends[code[:-1]] = ends.get(code[:-1], "") + code[-1]
        for start, last in ends.items():
            yield "".join(map(_escape, start)) + _class(last)

    def _code(self, atom: _Atom) -> str:
        return self._codes[atom.is_of_words].code(atom.number)


class _Folding(dict[int, str]):
    """Characters as they are written to the codes of what they are read as."""

    def __init__(self, alphabet: Alphabet) -> None:
        super().__init__()
        self._alphabet = alphabet

    def __missing__(self, code: int) -> str:
        found = fold_character(chr(code)).translate(self._alphabet)
        if len(self) < _MOST_LEARNT:
            self[code] = found
        return found


def count_starts(data: bytes) -> bytes:
    """1 for each byte with which a character begins, 0 for the others."""
    return data.translate(_IS_START)


class _Group(NamedTuple):
    """Code points that the same ranges hold."""

    number: int
    low: int
    is_single: bool


def _divide(ranges: set[tuple[int, int]]) -> tuple[list[int], list[_Group]]:
    """Where runs of code points begin that no range tells apart, and the group of each."""
    cuts = sorted({_FIRST_CODED, *(c for low, high in ranges for c in (low, high + 1))})
    wide = [(low, high) for low, high in ranges if low < high]
    single = {low for low, high in ranges if low == high}
    known: dict[object, _Group] = {}
    groups = []
    for low in cuts:
        is_single = low in single
        holding = tuple(each for each in wide if each[0] <= low <= each[1])
        new = _Group(len(known), low, is_single)
        groups.append(known.setdefault((low if is_single else -1, holding), new))
    return cuts, groups


def _number(groups: Iterable[_Group]) -> Iterator[tuple[int, _Atom]]:
    """An atom for each group and category in it, counted apart for the two kinds of codes."""
    counts = {True: 0, False: 0}
    for group in dict.fromkeys(groups):
        own = (category_of(chr(group.low)),) if group.is_single else _CATEGORIES
        for category in own:
            is_of_words = category in OF_WORDS
            yield group.number, _Atom(group.low, category, counts[is_of_words])
            counts[is_of_words] += 1


def _escape(char: str) -> str:
    return char if char.isalnum() and char.isascii() else f"\\x{ord(char):02x}"


def _class(chars: str) -> str:
    """A class of bytes, its runs as ranges."""
    if len(chars) == 1:
        return _escape(chars)
    parts: list[list[int]] = []
    for code in sorted(map(ord, chars)):
        if parts and parts[-1][1] == code - 1:
            parts[-1][1] = code
        else:
            parts.append([code, code])
    inside = "".join(
        _escape(chr(low)) + (f"-{_escape(chr(high))}" if high > low else "")
        for low, high in parts
    )
    return f"[{inside}]"
