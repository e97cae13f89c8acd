"""A pattern as it is written, in the form that hyperscan runs; what it cannot run is left wider, and said."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from re import _constants as code  # type: ignore[attr-defined, unused-ignore]
from re import _parser as parser  # type: ignore[attr-defined, unused-ignore]
from typing import Any, Protocol, get_args

from guardrails.alphabet import OF_WORDS, WORD, Category, CharSet, category_of
from guardrails.text import normalise

Nodes = Sequence[tuple[Any, Any]]
ANY = CharSet(is_negated=True)
_ANY_BUT_LINE = CharSet(((10, 10),), is_negated=True)
_CATEGORIES: dict[Any, frozenset[Category]] = {
    code.CATEGORY_WORD: WORD | {"line"},
    code.CATEGORY_DIGIT: frozenset({"digit"}),
    code.CATEGORY_SPACE: frozenset({"space"}),
}
_NEGATED = {
    code.CATEGORY_NOT_WORD: code.CATEGORY_WORD,
    code.CATEGORY_NOT_DIGIT: code.CATEGORY_DIGIT,
    code.CATEGORY_NOT_SPACE: code.CATEGORY_SPACE,
}
_EVERY: frozenset[Category] = frozenset(get_args(Category))
_LARGE = 0x2000
MOST_POSITIONS = 3_000


class Writer(Protocol):
    def literal(self, text: str) -> str: ...
    def one_of(self, chars: CharSet) -> str: ...


class Collector:
    """Stands for an alphabet that is not made yet: remembers what it must tell apart."""

    def __init__(self) -> None:
        self.sets: list[CharSet] = []

    def literal(self, text: str) -> str:
        self.sets += [CharSet(((ord(char), ord(char)),)) for char in text]
        return ""

    def one_of(self, chars: CharSet) -> str:
        self.sets.append(chars)
        return ""


class UntranslatableError(Exception):
    """hyperscan can do nothing for the pattern: it is left to `regex` alone."""


class Translator:
    """Writes one pattern. is_exact: what is written matches just where the pattern does, if it is written with ends.

    Otherwise it matches more: a place that it finds must be looked at again.
    """

    def __init__(self, pattern: str) -> None:
        """Raises UntranslatableError."""
        try:
            self._tree = parser.parse(pattern, re.IGNORECASE)
        except (re.error, RecursionError, OverflowError) as error:
            raise UntranslatableError(str(error)) from error
        if self._tree.getwidth()[0] == 0:
            raise UntranslatableError("it can match without a character")
        if _size(self._tree) > MOST_POSITIONS:
            raise UntranslatableError("it repeats too much")
        self.is_exact = True
        self.notes: list[str] = []
        if self._tree.state.flags & re.ASCII:
            self.widen("the flag for ASCII")
        self.write(Collector())

    def write(self, writer: Writer, *, with_ends: bool = True) -> str:
        """with_ends: whether it is said where a text or line must end."""
        writing = _Writing(self, writer, with_ends=with_ends)
        return writing.all_of(self._tree, self._tree.state.flags)

    def widen(self, why: str) -> None:
        self.is_exact = False
        self.note(why)

    def note(self, what: str) -> None:
        if what not in self.notes:
            self.notes.append(what)


@lru_cache(maxsize=10_000)
def translate(pattern: str) -> Translator:
    """Raises UntranslatableError, for what only `regex` can run."""
    return Translator(pattern)


class _Writing:
    def __init__(self, of: Translator, writer: Writer, *, with_ends: bool) -> None:
        self._of, self._writer, self._with_ends = of, writer, with_ends

    def all_of(self, nodes: Nodes, flags: int) -> str:
        """A run of nodes; letters beside each other are folded together."""
        parts, at = [], 0
        while at < len(nodes):
            end = at
            while end < len(nodes) and nodes[end][0] is code.LITERAL:
                end += 1
            if end > at:
                parts.append(self._literals(nodes[at:end]))
                at = end
                continue
            parts.append(self._node(nodes, at, flags))
            at += 1
        return "".join(parts)

    def _literals(self, nodes: Nodes) -> str:
        return self._writer.literal(_fold("".join(chr(value) for _, value in nodes)))

    def _node(self, nodes: Nodes, at: int, flags: int) -> str:
        name, value = nodes[at]
        if name is code.AT:
            return self._place(value, nodes, at, flags)
        write = _WAYS.get(name)
        if write is None:
            self._of.widen(_CANNOT[name])
            return self._writer.one_of(ANY) + "*" if name is code.GROUPREF else ""
        return write(self, value, flags)

    def any(self, _: None, flags: int) -> str:
        return self._writer.one_of(ANY if flags & re.DOTALL else _ANY_BUT_LINE)

    def not_literal(self, value: int, _: int) -> str:
        return self._set([(code.NEGATE, None), (code.LITERAL, value)])

    def one_of(self, value: Nodes, _: int) -> str:
        return self._set(value)

    def _set(self, value: Nodes) -> str:
        chars, strings = read_set(value)
        ways = [self._writer.one_of(chars), *map(self._writer.literal, strings)]
        return f"(?:{'|'.join(ways)})" if strings else ways[0]

    def branch(self, value: tuple[None, Sequence[Nodes]], flags: int) -> str:
        return f"(?:{'|'.join(self.all_of(way, flags) for way in value[1])})"

    def group(self, value: tuple[Any, int, int, Nodes], flags: int) -> str:
        _, added, taken, inside = value
        return f"(?:{self.all_of(inside, (flags | added) & ~taken)})"

    def repeat(self, value: tuple[int, Any, Nodes], flags: int) -> str:
        low, high, inside = value
        most = "" if high is code.MAXREPEAT else high
        return f"(?:{self.all_of(inside, flags)}){{{low},{most}}}"

    def possessive(self, value: tuple[int, Any, Nodes], flags: int) -> str:
        self._of.widen("a possessive repeat")
        return self.repeat(value, flags)

    def atomic(self, value: Nodes, flags: int) -> str:
        self._of.widen("an atomic group")
        return f"(?:{self.all_of(value, flags)})"

    def either(self, value: tuple[int, Nodes, Nodes | None], flags: int) -> str:
        self._of.widen("a condition")
        _, yes, no = value
        return f"(?:{self.all_of(yes, flags)}|{self.all_of(no or [], flags)})"

    def _place(self, name: Any, nodes: Nodes, at: int, flags: int) -> str:
        if name in {code.AT_BOUNDARY, code.AT_NON_BOUNDARY}:
            return self._edge(nodes, at, is_edge=name is code.AT_BOUNDARY)
        if name in _ENDS and not self._with_ends:
            return ""
        is_many = bool(flags & re.MULTILINE)
        return _ANCHORS[name, is_many]

    def _edge(self, nodes: Nodes, at: int, *, is_edge: bool) -> str:
        r"""hyperscan's \b is right beside a letter of spaced words; beside others every place is an edge."""
        sides = {_end_of(nodes[:at], -1), _end_of(nodes[at + 1 :], 0)}
        if "unspaced" in sides and is_edge:
            self._of.note(r"\b beside writing without spaces holds everywhere")
            return ""
        if "word" in sides and "unspaced" not in sides:
            return r"\b" if is_edge else r"\B"
        self._of.widen(r"\b beside what may be no letter" if is_edge else r"\B")
        return ""


_WAYS: dict[Any, Callable[[_Writing, Any, int], str]] = {
    code.ANY: _Writing.any,
    code.NOT_LITERAL: _Writing.not_literal,
    code.IN: _Writing.one_of,
    code.BRANCH: _Writing.branch,
    code.SUBPATTERN: _Writing.group,
    code.MAX_REPEAT: _Writing.repeat,
    code.MIN_REPEAT: _Writing.repeat,
    code.POSSESSIVE_REPEAT: _Writing.possessive,
    code.ATOMIC_GROUP: _Writing.atomic,
    code.GROUPREF_EXISTS: _Writing.either,
}
_CANNOT = {
    code.ASSERT: "look-around",
    code.ASSERT_NOT: "look-around",
    code.FAILURE: "look-around",
    code.GROUPREF: "a back-reference",
    code.GROUPREF_IGNORE: "a back-reference",
}
_ENDS = {code.AT_END, code.AT_END_STRING}
_ANCHORS = {
    (code.AT_BEGINNING, False): r"\A",
    (code.AT_BEGINNING, True): "(?m:^)",
    (code.AT_END, False): r"\n?\z",  # re2 knows no way to only look at the line's end
    (code.AT_END, True): "(?m:$)",
} | {
    (name, is_many): text
    for is_many in (True, False)
    for name, text in ((code.AT_BEGINNING_STRING, r"\A"), (code.AT_END_STRING, r"\z"))
}


def read_set(value: Nodes) -> tuple[CharSet, list[str]]:
    """A class as a set of folded characters, and what folds to more than one."""
    codes: set[int] = set()
    ranges: list[tuple[int, int]] = []
    strings: list[str] = []
    categories: set[Category] = set()
    is_negated = False
    for name, each in value:
        if name is code.NEGATE:
            is_negated = True
        elif name is code.CATEGORY:
            categories |= _category(each)
        else:
            low, high = each if name is code.RANGE else (each, each)
            _fold_range(low, high, codes, ranges, strings)
    ranges += _runs(codes)
    chars = CharSet(tuple(sorted(ranges)), frozenset(categories), is_negated)
    return chars, [] if is_negated else strings


def _category(name: Any) -> frozenset[Category]:
    if name in _NEGATED:
        return _EVERY - _CATEGORIES[_NEGATED[name]]
    return _CATEGORIES[name]


def _fold_range(
    low: int,
    high: int,
    codes: set[int],
    ranges: list[tuple[int, int]],
    strings: list[str],
) -> None:
    """Large ranges are of writing without case, or hold both cases."""
    if high - low > _LARGE:
        ranges.append((low, high))
        return
    for each in range(low, high + 1):
        folded = _fold(chr(each))
        if len(folded) == 1:
            codes.add(ord(folded))
        elif folded:
            strings.append(folded)


def _runs(codes: set[int]) -> Iterator[tuple[int, int]]:
    start = end = -2
    for each in sorted(codes):
        if each > end + 1:
            if start >= 0:
                yield start, end
            start = each
        end = each
    if start >= 0:
        yield start, end


def _fold(text: str) -> str:
    return normalise(text, look_alikes=False).text


def _end_of(nodes: Nodes, side: int) -> str:
    """What stands at the left (0) or right (-1) end of every match: word, unspaced, or nothing known."""
    if not len(nodes):
        return ""
    name, value = nodes[side]
    match name:
        case code.LITERAL | code.IN:
            return _kind_of_set(value if name is code.IN else [nodes[side]])
        case code.SUBPATTERN:
            return _end_of(value[-1], side)
        case code.BRANCH:
            return _same(_end_of(way, side) for way in value[1])
        case code.MAX_REPEAT | code.MIN_REPEAT:
            beside = nodes[1:] if side == 0 else nodes[:-1]
            ends = [value[2]] if value[0] else [value[2], beside]
            return _same(_end_of(each, side) for each in ends)
        case _:
            return ""


def _size(nodes: Nodes) -> int:
    """How many places of a match the pattern has to tell apart, about."""
    total = 0
    for name, value in nodes:
        match name:
            case code.BRANCH:
                total += sum(map(_size, value[1]))
            case code.SUBPATTERN | code.ATOMIC_GROUP:
                total += _size(value[-1] if name is code.SUBPATTERN else value)
            case code.MAX_REPEAT | code.MIN_REPEAT | code.POSSESSIVE_REPEAT:
                times = value[0] + 1 if value[1] is code.MAXREPEAT else value[1]
                total += int(times) * _size(value[2])
            case _:
                total += 1
    return total


def _same(kinds: Iterable[str]) -> str:
    every = set(kinds)
    return every.pop() if len(every) == 1 else ""


def _kind_of_set(value: Nodes) -> str:
    chars, strings = read_set(value)
    if strings or chars.is_negated:
        return ""
    kinds = {_kind(each) for each in chars.categories} | {
        _kind(category_of(chr(each)))
        for low, high in chars.ranges
        for each in range(low, min(high, low + _LARGE) + 1)
    }
    return _same(kinds)


def _kind(category: Category) -> str:
    if category in OF_WORDS:
        return "word"
    return "unspaced" if category == "unspaced" else ""
