"""Text as rules see it: one form for all spellings, every place mapped back to the original."""

import unicodedata
from collections.abc import Sequence
from functools import lru_cache

import msgspec
import regex  # type: ignore[import-untyped]

# Invisible by Unicode's own list: zero-width, soft hyphen, bidi marks, variation selectors, tags.
_INVISIBLE = regex.compile(r"\p{Default_Ignorable_Code_Point}")
_INVISIBLE_OR_MARK = regex.compile(r"[\p{Default_Ignorable_Code_Point}\p{M}]")
# A grapheme, inside of which all composing happens, or ASCII that no mark follows.
# Cut at some length, since sorting marks costs their square.
_CLUSTER = regex.compile(r"[\x00-\x7f]+(?=[\x00-\x7f]|\Z)|\X")
_LONGEST_CLUSTER = 32

# Letters only: digits that stand for letters are ambiguous. Upper case has pairs of its own.
_PAIRS = (
    ("АВЕКМНОРСТХІЈЅԚԜҮ", "ABEKMHOPCTXIJSQWY"),  # Cyrillic
    ("аеорсухіјѕԛԝһԁӏкү", "aeopcyxijsqwhdlky"),  # Cyrillic
    ("ΑΒΕΖΗΙΚΜΝΟΡΤΥΧ", "ABEZHIKMNOPTYX"),  # noqa: RUF001 - Greek
    ("αινορκυχ", "aivopkux"),  # Greek
    ("ıɡɩʏ‘’ʼ‐‒–—−", "igiy'''-----"),  # noqa: RUF001 - other letters, and what keyboards lack
)
_LOOK_ALIKES = str.maketrans(
    {a: b for left, right in _PAIRS for a, b in zip(left, right, strict=True)}
)
_TRACES = frozenset(
    "".join(map(chr, _LOOK_ALIKES)) + "".join(map(chr, _LOOK_ALIKES)).casefold()
)


class Normalised(msgspec.Struct, frozen=True):
    """A text in one form; character i of it stands for original[starts[i]:ends[i]]."""

    text: str
    starts: Sequence[int]
    ends: Sequence[int]

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Where text[start:end] stands in the original; an empty span stays empty."""
        if start < end:
            return self.starts[start], self.ends[end - 1]
        at = (
            self.starts[start]
            if start < len(self.starts)
            else (self.ends[-1] if self.ends else 0)
        )
        return at, at


def normalise(text: str, *, look_alikes: bool = True) -> Normalised:
    """NFKC, case folded, nothing invisible, look-alike letters as Latin ones."""
    folded = (
        _fold(text, look_alikes=look_alikes)
        if text.isascii() or _is_simple(text)
        else ""
    )
    if len(folded) == len(text):
        return Normalised(folded, range(len(text)), range(1, len(text) + 1))
    return _normalise_clusters(text, look_alikes=look_alikes)


def views(text: str) -> tuple[Normalised, ...]:
    """The forms in which a rule may hit: look-alikes as Latin letters, and as they were written.

    Rules in Greek or Cyrillic need the second, since the first loses their upper and lower case.
    """
    written = normalise(text, look_alikes=False)
    if _TRACES.isdisjoint(written.text):
        return (written,)
    return normalise(text), written


def _is_simple(text: str) -> bool:
    """Whether folding the whole text can be told, by its length alone, to go one to one."""
    return (
        not _INVISIBLE_OR_MARK.search(text)
        and unicodedata.is_normalized("NFKC", text)
        and unicodedata.is_normalized("NFKC", text.casefold())
    )


def _normalise_clusters(text: str, *, look_alikes: bool) -> Normalised:
    kept = [place for place, char in enumerate(text) if not _INVISIBLE.match(char)]
    visible = "".join(text[place] for place in kept)
    pieces: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    for found in _CLUSTER.finditer(visible):
        for start in range(found.start(), found.end(), _LONGEST_CLUSTER):
            end = min(start + _LONGEST_CLUSTER, found.end())
            piece = _fold_cluster(visible[start:end], look_alikes=look_alikes)
            pieces.append(piece)
            if piece.isascii() and len(piece) == end - start:
                starts += kept[start:end]
                ends += [place + 1 for place in kept[start:end]]
            else:
                starts += [kept[start]] * len(piece)
                ends += [kept[end - 1] + 1] * len(piece)
    return Normalised("".join(pieces), starts, ends)


def _fold(text: str, *, look_alikes: bool) -> str:
    return (text.translate(_LOOK_ALIKES) if look_alikes else text).casefold()


@lru_cache(maxsize=4096)
def _fold_cluster(cluster: str, *, look_alikes: bool) -> str:
    folded = _fold(unicodedata.normalize("NFKC", cluster), look_alikes=look_alikes)
    return unicodedata.normalize("NFKC", folded)
