"""Cuts a text into what is compared with examples: its sentences, as they are written and as they are meant."""

from typing import NamedTuple

import regex  # type: ignore[import-untyped]

from guardrails.text import normalise

LONGEST = 240  # characters; of a longer sentence the meaning of a part gets lost

# Up to the end of a sentence or line, else to the last blank that fits, else as much as fits.
_PIECE = regex.compile(
    rf"\s*(?P<piece>\S(?:.{{0,{LONGEST - 1}}}?[.!?…。！？]+(?=\s|\Z)"  # noqa: RUF001
    rf"|.{{0,{LONGEST - 1}}}?(?=\n|\Z)"
    rf"|.{{0,{LONGEST - 1}}}(?=\s)"
    rf"|.{{0,{LONGEST - 1}}}))",
    regex.DOTALL,
)
_LEET = str.maketrans("013457@$€|", "oieastasei")
_WITH_LETTER = regex.compile(r"\S*\p{L}\S*")
# Letters that stand alone, f u c k or i.d.i.o.t: at least four. Where two blanks stand a word ends.
_SPACED = regex.compile(r"(?<!\w)(?:\w[\s.\-_*]){3,}\w(?!\w)")
_BETWEEN = regex.compile(r"[\s.\-_*]")


class Reading(NamedTuple):
    """start, end: where in the original it stands, in code points."""

    text: str
    start: int
    end: int


def pieces(text: str) -> list[tuple[int, int]]:
    """Return where each piece stands, in code points. Together they hold everything but blanks."""
    return [found.span("piece") for found in _PIECE.finditer(text)]


def as_meant(text: str) -> str:
    """Read digits that stand for letters, and letters that are drawn apart."""
    joined = _SPACED.sub(lambda found: _BETWEEN.sub("", found.group()), text)
    meant: str = _WITH_LETTER.sub(lambda found: found.group().translate(_LEET), joined)
    return meant


def readings(text: str) -> list[Reading]:
    """Return each sentence in one form, also as it is meant, and a short text as a whole too."""
    seen = normalise(text)
    spans = pieces(seen.text)
    if len(spans) > 1 and spans[-1][1] - spans[0][0] <= LONGEST:
        spans.append((spans[0][0], spans[-1][1]))
    return [
        Reading(form, *seen.span(start, end))
        for start, end in spans
        for form in _forms(seen.text[start:end])
    ]


def _forms(text: str) -> list[str]:
    return list(dict.fromkeys((text, as_meant(text))))
