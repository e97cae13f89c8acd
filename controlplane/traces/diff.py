"""What a person changed in a text, word by word."""

import re
from difflib import SequenceMatcher
from typing import Literal

import msgspec

MAX_WORDS = 2_000  # comparing costs their square
_WORDS = re.compile(r"\s+|[^\s]+")


class Piece(msgspec.Struct, frozen=True):
    kind: Literal["same", "out", "in"]
    text: str


def word_diff(before: str, after: str) -> list[Piece]:
    """Return pieces whose same and out are `before`, and whose same and in are `after`."""
    old, new = _WORDS.findall(before), _WORDS.findall(after)
    if len(old) + len(new) > MAX_WORDS:
        return _pieces(("out", before), ("in", after))
    found: list[Piece] = []
    for tag, i1, i2, j1, j2 in SequenceMatcher(
        None, old, new, autojunk=False
    ).get_opcodes():
        if tag == "equal":
            found += _pieces(("same", "".join(old[i1:i2])))
        else:
            found += _pieces(("out", "".join(old[i1:i2])), ("in", "".join(new[j1:j2])))
    return found


def _pieces(*parts: tuple[Literal["same", "out", "in"], str]) -> list[Piece]:
    return [Piece(kind, text) for kind, text in parts if text]
