"""Puts words in the place of what must not be read on."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from guardrails.pii.types import TYPES

REMOVED = "[removed]"
_MOST_ROUNDS = 5


class Mark(NamedTuple):
    """A place in a text; label: the type of personal data that stands there, if it is one."""

    start: int
    end: int
    label: str


class StubbornError(Exception):
    """What was put in the place of something made something new to redact, again and again."""


Put = Callable[[str, str], str]  # of a label and what stands there


def placeholder(label: str) -> str:
    return TYPES[label].placeholder if label else REMOVED


def _put_placeholder(label: str, _: str) -> str:
    return placeholder(label)


def redact(
    text: str, find: Callable[[str], Iterable[Mark]], put: Put = _put_placeholder
) -> str:
    """Return the text with everything replaced that `find` marks, also in what comes of it."""
    for _ in range(_MOST_ROUNDS):
        marks = list(find(text))
        if not marks:
            return text
        text = _replace(text, _apart(marks), put)
    raise StubbornError("something that must be redacted is still there")


def _apart(marks: Iterable[Mark]) -> list[Mark]:
    """Places that overlap are one, of the type of the one that begins first."""
    apart: list[Mark] = []
    for mark in sorted(marks, key=lambda mark: (mark.start, -mark.end)):
        if apart and mark.start < apart[-1].end:
            apart[-1] = apart[-1]._replace(end=max(mark.end, apart[-1].end))
        else:
            apart.append(mark)
    return apart


def _replace(text: str, marks: Iterable[Mark], put: Put) -> str:
    parts: list[str] = []
    done = 0
    for start, end, label in marks:
        parts += [text[done:start], put(label, text[start:end])]
        done = end
    return "".join([*parts, text[done:]])
