"""Text as rules see it: one form for all spellings, every place mapped back to the original."""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from functools import lru_cache

import regex  # type: ignore[import-untyped]

# Invisible by Unicode's own list: zero-width, soft hyphen, bidi marks, variation selectors, tags.
_INVISIBLE = regex.compile(r"\p{Default_Ignorable_Code_Point}")
_INVISIBLE_OR_MARK = regex.compile(r"[\p{Default_Ignorable_Code_Point}\p{M}]")
_MANY_MARKS = regex.compile(r"(?:\p{M}\p{Default_Ignorable_Code_Point}*){33}")
# A grapheme, inside of which all composing happens; ASCII that no mark follows is one.
# Cut at some length, since sorting marks costs their square.
_CLUSTER = regex.compile(r"[\x00-\x7f](?=[\x00-\x7f]|\Z)|\X")
# Up to a space behind which something new begins.
_WORDS = regex.compile(r"(?s).+?(?:\s(?=[\x00-\x7f\p{L}\p{N}])|\Z)")
_LONGEST_CLUSTER = 32
_LONGEST_WORD = 40  # that is remembered
_MOST_LEARNT = 1 << 16

# Letters only: digits that stand for letters are ambiguous. Upper case has pairs of its own.
_PAIRS = (
    ("АВЕКМНОРСТХІЈЅԚԜҮ", "ABEKMHOPCTXIJSQWY"),  # Cyrillic
    ("аеорсухіјѕԛԝһԁӏкү", "aeopcyxijsqwhdlky"),  # Cyrillic
    ("ΑΒΕΖΗΙΚΜΝΟΡΤΥΧ", "ABEZHIKMNOPTYX"),  # noqa: RUF001 - Greek
    ("αινορκυχ", "aivopkux"),  # Greek
    ("ıɡɩʏ‘’ʼ‐‒–—−", "igiy'''-----"),  # noqa: RUF001 - other letters, and what keyboards lack
)


class _Table(dict[int, int]):
    """For str.translate, to which what is missing is an error that costs time."""

    def __missing__(self, code: int) -> int:
        if len(self) < _MOST_LEARNT:
            self[code] = code
        return code


_ALIKE = {a: b for left, right in _PAIRS for a, b in zip(left, right, strict=True)}
_LOOK_ALIKES = _Table({ord(a): ord(b) for a, b in _ALIKE.items()})
_TRACES = re.compile(f"[{''.join(_ALIKE)}{''.join(_ALIKE).casefold()}]")

Places = tuple[Sequence[int], Sequence[int]]


class Normalised:
    """A text in one form; character i of it stands for original[starts[i]:ends[i]].

    composed: the text before it was folded, where that goes character by character; so it need not be folded as a
    whole unless somebody asks for its text.
    """

    __slots__ = ("_look_alikes", "_places", "_text", "composed", "original")

    def __init__(
        self, original: str, text: str | None, *, look_alikes: bool, composed: str = ""
    ) -> None:
        self.original = original
        self.composed = composed
        self._text = text
        self._look_alikes = look_alikes
        self._places: Places | None = None

    @property
    def text(self) -> str:
        if self._text is None:
            self._text = _fold(self.composed, look_alikes=self._look_alikes)
        return self._text

    @property
    def starts(self) -> Sequence[int]:
        return self._placed()[0]

    @property
    def ends(self) -> Sequence[int]:
        return self._placed()[1]

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Where text[start:end] stands in the original; an empty span stays empty."""
        starts, ends = self._placed()
        if start < end:
            return starts[start], ends[end - 1]
        at = starts[start] if start < len(starts) else (ends[-1] if ends else 0)
        return at, at

    def _placed(self) -> Places:
        """Most texts hit nothing, so places are found out when somebody asks."""
        if self._places is None:
            self._places = _align(self)
        return self._places

    def align_clusters(self) -> tuple[str, Places]:
        text, *places = _fold_pieces(self.original, look_alikes=self._look_alikes)
        return text, (places[0], places[1])


def normalise(text: str, *, look_alikes: bool = True) -> Normalised:
    """NFKC, case folded, nothing invisible, look-alike letters as Latin ones."""
    if text.isascii():
        return Normalised(text, text.lower(), look_alikes=look_alikes)
    return _fold_text(text, _compose(text), look_alikes=look_alikes)


def views(text: str) -> tuple[Normalised, ...]:
    """The forms in which a rule may hit: look-alikes as Latin letters, and as they were written.

    Rules in Greek or Cyrillic need the second, since the first loses their upper and lower case.
    """
    if text.isascii():
        return (Normalised(text, text.lower(), look_alikes=False),)
    composed = _compose(text)
    written = _fold_text(text, composed, look_alikes=False)
    if not _TRACES.search(written.text):
        return (written,)
    if composed is None or not _goes_by_character(composed):
        return _fold_text(text, composed, look_alikes=True), written
    return Normalised(text, None, look_alikes=True, composed=composed), written


def fold_character(char: str) -> str:
    """A character of a composed text in the form that has look-alikes as Latin letters."""
    return _fold(char, look_alikes=True)


def _goes_by_character(composed: str) -> bool:
    """Whether nothing in it composes anew when its letters are folded one by one."""
    return not _INVISIBLE_OR_MARK.search(composed) and unicodedata.is_normalized(
        "NFKC", composed.casefold()
    )


def _compose(text: str) -> str | None:
    """Without what is invisible, in NFKC; None if that would cost the square of many marks on one letter."""
    if _MANY_MARKS.search(text):
        return None
    return unicodedata.normalize("NFKC", _INVISIBLE.sub("", text))


def _fold_text(text: str, composed: str | None, *, look_alikes: bool) -> Normalised:
    if composed is None:
        folded, *_ = _fold_pieces(text, look_alikes=look_alikes)
    else:
        folded = _fold(composed, look_alikes=look_alikes)
        folded = unicodedata.normalize("NFKC", folded)
    return Normalised(text, folded, look_alikes=look_alikes)


def _align(view: Normalised) -> Places:
    size = len(view.text)
    if size == len(view.original) and _is_simple(view.original):
        return range(size), range(1, size + 1)
    text, places = view.align_clusters()
    if text == view.text:
        return places
    # Folded as a whole it came out otherwise, which no known text does: every place is all of it.
    return [0] * size, [len(view.original)] * size


def _is_simple(text: str) -> bool:
    """Whether it can be told, if folding keeps its length, that it went one to one."""
    return text.isascii() or (
        not _INVISIBLE_OR_MARK.search(text)
        and unicodedata.is_normalized("NFKC", text)
        and unicodedata.is_normalized("NFKC", text.casefold())
    )


def _fold_pieces(text: str, *, look_alikes: bool) -> tuple[str, list[int], list[int]]:
    """Word by word, so that what was found out of a word is found out once."""
    folded: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    for found in _WORDS.finditer(text):
        at, word = found.start(), found[0]
        fold = _fold_any_word if len(word) > _LONGEST_WORD else _fold_word
        piece, places = fold(word, look_alikes=look_alikes)
        folded.append(piece)
        starts += [at + start for start in places[0]]
        ends += [at + end for end in places[1]]
    return "".join(folded), starts, ends


def _fold_any_word(word: str, *, look_alikes: bool) -> tuple[str, Places]:
    piece = _fold(word, look_alikes=look_alikes) if _is_simple(word) else ""
    if len(piece) == len(word):
        return piece, (range(len(word)), range(1, len(word) + 1))
    clusters = list(_fold_clusters(word, look_alikes=look_alikes))
    starts = [start for folded, start, _ in clusters for _ in folded]
    ends = [end for folded, _, end in clusters for _ in folded]
    return "".join(folded for folded, _, _ in clusters), (starts, ends)


_fold_word = lru_cache(maxsize=8192)(_fold_any_word)


def _fold_clusters(text: str, *, look_alikes: bool) -> Iterator[tuple[str, int, int]]:
    """The clusters of a text, folded, and where each stands."""
    kept = [place for place, char in enumerate(text) if not _INVISIBLE.match(char)]
    visible = "".join(text[place] for place in kept)
    for found in _CLUSTER.finditer(visible):
        for start in range(found.start(), found.end(), _LONGEST_CLUSTER):
            end = min(start + _LONGEST_CLUSTER, found.end())
            piece = _fold_cluster(visible[start:end], look_alikes=look_alikes)
            yield piece, kept[start], kept[end - 1] + 1


def _fold(text: str, *, look_alikes: bool) -> str:
    return (text.translate(_LOOK_ALIKES) if look_alikes else text).casefold()


def _fold_whole(text: str, *, look_alikes: bool) -> str:
    folded = _fold(unicodedata.normalize("NFKC", text), look_alikes=look_alikes)
    return unicodedata.normalize("NFKC", folded)


_fold_cluster = lru_cache(maxsize=4096)(_fold_whole)
