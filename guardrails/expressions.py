"""Expressions in CEL over typed fields: checked when they are saved, run once for each value that a text has."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice, product
from typing import NamedTuple

from cel_expr_python import cel

from guardrails import fields
from guardrails.fields import MANY, ONE, Plain, Value
from guardrails.subject import Subject

MAX_LENGTH = 2_000
MAX_EVALUATIONS = 1_000  # of one expression on one text

_DOUBLE, _STRING, _INT = cel.Type.DOUBLE, cel.Type.STRING, cel.Type.INT
TYPES: dict[str, cel.Type] = {
    "discount_percent": _DOUBLE,
    "amount": _DOUBLE,
    "currency": _STRING,
    "url": _STRING,
    "host": _STRING,
    "language": _STRING,
    "length": _INT,
    "confidence": _DOUBLE,
    "tier": _STRING,
    "workflow": _STRING,
    "direction": _STRING,
    "scores": cel.Type.Map(_STRING, _DOUBLE),
    "limit": _DOUBLE,
}
_TYPED = cel.NewEnv(variables=TYPES)
_EMPTY = cel.NewEnv(variables={})
_ERROR = re.compile(r"<input>:(\d+):(\d+): (.*)")
_UNKNOWN = re.compile(r"undeclared reference to '(\w+)")
_UNBOUND = re.compile(r'No value with name "(\w+)"')
_SCORE = re.compile(
    r"\bscores(?:\.(\w+)(?!\w*\s*\()|\[\s*(?:\"([^\"\\]+)\"|'([^'\\]+)')\s*\])"
)
_NUMBERS = ("discount_percent", "amount", "confidence", "length")


class ExpressionError(Exception):
    """What is wrong, and where: line and column count from 1."""

    def __init__(self, what: str, line: int = 1, column: int = 1) -> None:
        super().__init__(f"line {line}, column {column}: {what}")
        self.what, self.line, self.column = what, line, column


class Tripped(NamedTuple):
    """Where an expression is true, and the number that made it so, if one did."""

    start: int
    end: int
    number: float | None
    limit: float | None


class Expression:
    """A compiled expression with the fields that it reads."""

    def __init__(self, source: str, limit: float | None = None) -> None:
        """Raises ExpressionError."""
        if len(source) > MAX_LENGTH:
            raise ExpressionError(f"longer than {MAX_LENGTH:,} characters")
        self._compiled = _compile(_TYPED, source)
        if self._compiled.return_type() != cel.Type.BOOL:
            kind = self._compiled.return_type().name().lower()
            raise ExpressionError(
                f"it must be true or false, and is of the type {kind}"
            )
        self.reads = _names_in(source)
        self.scores = (
            frozenset(_scores_in(source)) if "scores" in self.reads else frozenset()
        )
        if "limit" in self.reads and limit is None:
            raise ExpressionError("it reads limit, and the rule has none")
        self._constants = {"limit": limit} if limit is not None else {}
        self._limit = limit if "limit" in self.reads else _limit_in(source)

    def trips(self, subject: Subject, tick: Callable[[], None]) -> Iterator[Tripped]:
        """Every value, or every combination of values, for which it is true or cannot be told.

        Raises MissingError and ValueError for what cannot be evaluated. tick is called before each try.
        """
        common = {**self._constants, **self._given(subject)}
        found: list[list[Value | None]] = [
            [*read(subject)] or [None]
            for names, read in MANY.items()
            if self.reads.intersection(names)
        ]
        for values in islice(product(*found), MAX_EVALUATIONS + 1):
            tick()
            yield from self._trip(common, [each for each in values if each is not None])
        if _count(found) > MAX_EVALUATIONS:
            raise ValueError("the text has too many values to try them all")

    def _trip(
        self, common: Mapping[str, Plain], values: list[Value]
    ) -> Iterator[Tripped]:
        bound = {name: each for value in values for name, each in value.fields.items()}
        unread = {name for name, each in bound.items() if each is None}
        known = {name: each for name, each in bound.items() if each is not None}
        is_true = self._evaluate({**common, **known})
        if is_true or (is_true is None and unread):
            yield self._tripped({**common, **bound}, values)

    def _evaluate(self, data: Mapping[str, Plain]) -> bool | None:
        """None if it depends on a field that the text has no value for, or none that can be read."""
        result = self._compiled.eval(data=dict(data))
        if result.type() != cel.Type.ERROR:
            return bool(result.value())
        unbound = _UNBOUND.search(str(result.value()))
        if unbound and unbound[1] in _IN_TEXTS:
            return None
        raise ValueError(str(result.value()).partition(": ")[2])

    def _given(self, subject: Subject) -> dict[str, Plain]:
        given = {
            name: read(subject) for name, read in ONE.items() if name in self.reads
        }
        if self.scores:
            given["scores"] = {
                name: float(fields.score(subject, name).number) for name in self.scores
            }
        return given

    def _tripped(
        self, bound: Mapping[str, Plain | None], values: list[Value]
    ) -> Tripped:
        start = min((value.start for value in values), default=0)
        end = max((value.end for value in values), default=0)
        return Tripped(start, end, self._number(bound), self._limit)

    def _number(self, bound: Mapping[str, Plain | None]) -> float | None:
        """The number that is read; of several none can be said to be the one."""
        scores = bound.get("scores", {})
        assert isinstance(scores, Mapping)
        numbers = [bound[name] for name in _NUMBERS if name in bound]
        numbers += scores.values()
        if len(numbers) != 1 or numbers[0] is None:
            return None
        assert isinstance(numbers[0], int | float)
        return float(numbers[0])


_IN_TEXTS = {name for names in MANY for name in names}


def _compile(env: cel.Env, source: str) -> cel.Expression:
    try:
        return env.compile(source)
    except RuntimeError as error:
        found = _ERROR.search(str(error))
        if found is None:
            raise ExpressionError(str(error)) from error
        raise ExpressionError(
            _explain(found[3].removesuffix(" [INVALID_ARGUMENT]")),
            int(found[1]),
            int(found[2]),
        ) from error


def _explain(what: str) -> str:
    if "(double, int)" in what:
        return f"{what}; write the number with a point, such as 5.0"
    if "(int, double)" in what:
        return f"{what}; write the number without a point"
    if unknown := _UNKNOWN.search(what):
        return f"there is no field {unknown[1]}; there are {', '.join(TYPES)}"
    return what


def _names_in(source: str) -> frozenset[str]:
    """Without any field declared, the compiler names those that are read."""
    try:
        _EMPTY.compile(source)
    except RuntimeError as error:
        return frozenset(_UNKNOWN.findall(str(error))) & TYPES.keys()
    return frozenset()


def _scores_in(source: str) -> Iterator[str]:
    """Raises ExpressionError unless each score is named, so that it can be asked for beforehand."""
    named = list(_SCORE.finditer(source))
    bare = re.search(r"\bscores\b(?!\.\w+(?!\w*\s*\()|\[\s*[\"'])", source)
    if bare or not named:
        at = bare.start() if bare else 0
        line = source.count("\n", 0, at) + 1
        column = at - source.rfind("\n", 0, at)
        raise ExpressionError("name the score, such as scores.toxicity", line, column)
    return (next(filter(None, found.groups())) for found in named)


def _limit_in(source: str) -> float | None:
    """The number that the expression compares with, if there is just one."""
    compared: Iterable[str] = re.findall(r"[<>]=?\s*(-?\d+(?:\.\d+)?)(?![\w.])", source)
    numbers = {float(each) for each in compared}
    return numbers.pop() if len(numbers) == 1 else None


def _count(found: list[list[Value | None]]) -> int:
    total = 1
    for values in found:
        total *= len(values)
    return total
