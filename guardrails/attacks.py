"""Texts that are made to keep a pattern busy, from the pattern itself."""

import re
from collections.abc import Iterator
from re import _constants as code  # type: ignore[attr-defined, unused-ignore]
from re import _parser as parser  # type: ignore[attr-defined, unused-ignore]
from typing import Any

from guardrails.grammar import Nodes

LENGTH = 3_000
_MOST = 24
_PLAIN = ("a", "1", " ", "a1 ", "ab,", "\u0301", "\u0436")
_OF_CATEGORY = {
    code.CATEGORY_DIGIT: "1",
    code.CATEGORY_SPACE: " ",
    code.CATEGORY_NOT_WORD: "-",
}
_REPEATS = (code.MAX_REPEAT, code.MIN_REPEAT, code.POSSESSIVE_REPEAT)
_WITNESSES = "xa0 -~\u0436"


def attacks(pattern: str) -> list[str]:
    """What each repeat loves, as long as it goes, and then something that spoils the match."""
    try:
        tree = parser.parse(pattern, re.IGNORECASE)
    except (re.error, RecursionError, OverflowError):
        return [_fill("", each) for each in _PLAIN]
    whole = _sample(tree, 1)
    pumps = [
        ("", whole),
        ("", whole[:-1]),
        *_pumps(tree, ""),
        *(("", p) for p in _PLAIN),
    ]
    found = [_fill(before, pump) for before, pump in pumps if pump]
    return list(dict.fromkeys([whole, *found]))[:_MOST]


def _fill(before: str, pump: str) -> str:
    return before + pump * max(1, (LENGTH - len(before)) // len(pump)) + "!"


def _pumps(nodes: Nodes, before: str) -> Iterator[tuple[str, str]]:
    for name, value in nodes:
        for inside in _inside(name, value):
            if name in _REPEATS:
                yield before, _sample(inside, 1)
                yield before, _sample(inside, 2)
            yield from _pumps(inside, before)
        before += _sample([(name, value)], 1)


def _inside(name: Any, value: Any) -> list[Nodes]:
    if name is code.BRANCH:
        return list(value[1])
    if name in {code.SUBPATTERN, code.ASSERT, code.ASSERT_NOT, *_REPEATS}:
        return [value[-1]]
    return [value] if name is code.ATOMIC_GROUP else []


def _sample(nodes: Nodes, times: int) -> str:
    return "".join(_sample_one(name, value, times) for name, value in nodes)


def _sample_one(name: Any, value: Any, times: int) -> str:
    match name:
        case code.LITERAL:
            return str(chr(value))
        case code.IN:
            return _member(value)
        case code.MAX_REPEAT | code.MIN_REPEAT | code.POSSESSIVE_REPEAT:
            low, high, inside = value
            count: int = min(max(low, times), int(high), LENGTH)
            return _sample(inside, times) * count
        case code.ASSERT | code.ASSERT_NOT:
            return ""
        case _:
            ways = _inside(name, value)
            plain = "x" if name in {code.ANY, code.NOT_LITERAL} else ""
            return _sample(ways[-1 if times > 1 else 0], times) if ways else plain


def _member(value: Nodes) -> str:
    name, first = value[0]
    if name is code.NEGATE:
        taken = {each for kind, each in value if kind is code.LITERAL}
        return next((each for each in _WITNESSES if ord(each) not in taken), "x")
    if name is code.CATEGORY:
        return _OF_CATEGORY.get(first, "a")
    return chr(first[0] if name is code.RANGE else first)
