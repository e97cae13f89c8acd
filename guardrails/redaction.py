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


def placeholder(label: str) -> str:
    return TYPES[label].placeholder if label else REMOVED


def redact(text: str, find: Callable[[str], Iterable[Mark]]) -> str:
    """Return the text with everything replaced that `find` marks, also in what comes of it."""
    for _ in range(_MOST_ROUNDS):
        marks = list(find(text))
        if not marks:
            return text
        text = _replace(text, marks)
    raise StubbornError("something that must be redacted is still there")


def _replace(text: str, marks: Iterable[Mark]) -> str:
    """Places that overlap get one placeholder, of the one that begins first."""
    parts: list[str] = []
    done = 0
    for mark in sorted(marks, key=lambda mark: (mark.start, -mark.end)):
        if mark.start >= done:
            parts += [text[done : mark.start], placeholder(mark.label)]
        done = max(done, mark.end)
    return "".join([*parts, text[done:]])
