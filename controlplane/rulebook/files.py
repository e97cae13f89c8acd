"""Rules as files, to be kept elsewhere and brought back: JSON as it is published, CSV for tables."""

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal, NamedTuple

import msgspec

from guardrails.admission import admit
from guardrails.rules import Rule, RuleSet, encode_rule_set

Format = Literal["json", "csv"]
MAX_BYTES = 900_000
MAX_RULES = 500  # each is timed, which takes its time
MOST_PROBLEMS = 50

_FIELDS = msgspec.structs.fields(Rule)
_NAMES = [field.name for field in _FIELDS]
_LISTS = {field.name for field in _FIELDS if field.type == tuple[str, ...]}
_NUMBERS = {field.name for field in _FIELDS if field.type in {int, float, float | None}}
_TRUTHS = {field.name for field in _FIELDS if field.type is bool}
_LONGEST_INT = 19  # digits
# How a cell begins that table programs take for a formula.
_FORMULA = re.compile(r"'*[=+\-@\t\r]")
_BEGIN = re.compile(r'\s*(?:\{\s*"rules"\s*:\s*)?\[\s*')
_NEXT = re.compile(r"\s*(,|\])\s*")
_REST = re.compile(r"\}?\s*")


class Problem(NamedTuple):
    """What is wrong, and the line of the file on which it begins."""

    line: int
    says: str


class FileError(Exception):
    """The file is not taken; nothing of it."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__(" ".join(each.says for each in problems[:MOST_PROBLEMS]))
        self.problems = problems[:MOST_PROBLEMS]
        self.unlisted = max(0, len(problems) - MOST_PROBLEMS)


def write(rules: Iterable[Rule], form: Format) -> bytes:
    return _write_json(rules) if form == "json" else _write_csv(rules)


def _write_json(rules: Iterable[Rule]) -> bytes:
    """What equals its default is left out, as in what is published."""
    return msgspec.json.format(encode_rule_set(RuleSet(tuple(rules))), indent=2) + b"\n"


def _write_csv(rules: Iterable[Rule]) -> bytes:
    """Lists have one entry a line of their cell; what would not come back as it is stands in quotes, as in JSON.

    What a table program would take for a formula has an apostrophe before it, as there.
    """
    out = io.StringIO()
    writer = csv.DictWriter(out, _NAMES)
    writer.writeheader()
    for rule in rules:
        given = msgspec.to_builtins(rule)
        writer.writerow({name: _cell(value) for name, value in given.items()})
    return out.getvalue().encode()


def _cell(value: object) -> str:
    if isinstance(value, list | tuple):
        value = "\n".join(map(_line, value))
    if isinstance(value, bool):
        return "yes" if value else ""
    if isinstance(value, str):
        return f"'{value}" if _FORMULA.match(value) else value
    return "" if value is None else str(value)


def _line(entry: str) -> str:
    """Quotes that are not needed are not there, nor escapes."""
    ways = entry, json.dumps(entry, ensure_ascii=False), json.dumps(entry)
    return next(way for way in ways if _entries(way) == [entry])


def read(text: str) -> list[Rule]:
    """Check and time each rule. Raises FileError with everything that is wrong, each with its line."""
    text = text.removeprefix("\ufeff")
    is_json = text.lstrip()[:1] in {"{", "["}
    rows = list(_read_json(text) if is_json else _read_csv(text))
    if not rows:
        raise _wrong(1, "There is no rule in it.")
    if len(rows) > MAX_RULES:
        says = f"From here on there are more than {MAX_RULES} rules: use several files."
        raise _wrong(rows[MAX_RULES][0], says)
    problems = list(_twice(rows))
    rules = []
    for line, given in rows:
        try:
            rules.append(msgspec.convert(given, Rule))
        except msgspec.ValidationError as error:
            problems.append(Problem(line, f"{error}."))
        else:
            problems += [Problem(line, says) for says in _refusals(rules[-1])]
    if problems:
        raise FileError(sorted(problems))
    return rules


def _refusals(rule: Rule) -> tuple[str, ...]:
    """What the form would refuse, a pattern that takes too long with it."""
    return admit(rule, RuleSet((rule,))).problems


def _twice(rows: list[tuple[int, Any]]) -> Iterator[Problem]:
    ids = Counter(_id_of(given) for _, given in rows)
    for line, given in rows:
        if _id_of(given) and ids[_id_of(given)] > 1:
            yield Problem(line, f"The id {_id_of(given)} is there more than once.")


def _id_of(given: Any) -> str:
    return str(given.get("id", "")) if isinstance(given, dict) else ""


def _read_json(text: str) -> Iterator[tuple[int, Any]]:
    """Yield each rule of the list with the line on which it begins."""
    begun = _BEGIN.match(text)
    if begun is None:
        raise _wrong(1, 'It must be {"rules": [...]}, or a list of rules.')
    at, line, counted = begun.end(), 1, 0
    if text[at : at + 1] == "]":
        return
    while True:
        line, counted = line + text.count("\n", counted, at), at
        given, at = _decode(text, at, line)
        yield line, given
        after = _NEXT.match(text, at)
        line, counted = line + text.count("\n", counted, at), at
        if after is None:
            raise _wrong(line, "A comma or ] is missing after this rule.")
        at = after.end()
        if after[1] == "]":
            break
    if _REST.fullmatch(text, at) is None:
        raise _wrong(line, "There is more after the list of rules: use several files.")


def _decode(text: str, at: int, line: int) -> tuple[Any, int]:
    try:
        return _DECODER.raw_decode(text, at)
    except json.JSONDecodeError as error:
        says = f"{error.msg} at column {error.colno}."
        raise _wrong(error.lineno, says) from error
    except _TwiceError as error:
        raise _wrong(line, str(error)) from error
    except RecursionError as error:
        raise _wrong(line, "This rule has lists in lists without an end.") from error


def _wrong(line: int, says: str) -> FileError:
    return FileError([Problem(line, says)])


class _TwiceError(Exception):
    """Of a field that is there more than once nobody knows which counts."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    given = dict(pairs)
    if len(given) < len(pairs):
        raise _TwiceError(_first_twice("field", (name for name, _ in pairs)))
    return given


def _first_twice(word: str, names: Iterable[str]) -> str:
    [(name, _)] = Counter(names).most_common(1)
    return f"The {word} {name} is there more than once."


def _int(digits: str) -> float:
    """What is longer than any number of a rule is told by its check."""
    return int(digits) if len(digits) <= _LONGEST_INT else float(digits)


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_int=_int)


def _read_csv(text: str) -> Iterator[tuple[int, Any]]:
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    line = 1
    try:
        _check_columns(reader.fieldnames or ())
        line = reader.line_num + 1
        for row in reader:
            yield line, _from_cells(row)
            line = reader.line_num + 1
    except csv.Error as error:
        raise _wrong(line, f"It cannot be read: {error}.") from error


def _check_columns(names: Sequence[str]) -> None:
    there = f"; there are {', '.join(_NAMES)}."
    if unknown := [name for name in names if name not in _NAMES]:
        raise _wrong(1, f"There is no column {unknown[0]}{there}")
    if "id" not in names:
        raise _wrong(1, f"The column id is missing{there}")
    if len(set(names)) < len(names):
        raise _wrong(1, _first_twice("column", names))


def _from_cells(row: dict[str | None, Any]) -> dict[str, Any]:
    """Empty cells are what a rule is without them. A cell too many is told by its name."""
    return {
        name or "a cell without a column": _from_cell(name, cell)
        for name, cell in row.items()
        if cell
    }


def _from_cell(name: str | None, cell: Any) -> Any:
    if name in _TRUTHS:
        return cell.strip().lower() in {"yes", "true", "1"}
    if name in _NUMBERS:
        return _number(cell)
    if isinstance(cell, str) and cell.startswith("'") and _FORMULA.match(cell):
        cell = cell[1:]
    return _entries(cell) if name in _LISTS else cell


def _entries(cell: str) -> list[str]:
    return [_entry(line.strip()) for line in cell.splitlines() if line.strip()]


def _entry(line: str) -> str:
    """What only looks as if it were in quotes is what it looks like."""
    try:
        entry = json.loads(line) if line.startswith('"') else line
    except json.JSONDecodeError:
        return line
    return entry if isinstance(entry, str) else line


def _number(cell: str) -> object:
    """What is no number is told by the check of the rule."""
    try:
        return int(cell)
    except ValueError:
        pass
    try:
        return float(cell)
    except ValueError:
        return cell
