"""Reads labelled texts from CSV or JSON lines, one at a time; a line that cannot be read is named."""

import csv
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from guardrails.evaluation import Row, UnreadableLabelError, read_label

MAX_LINE_BYTES = 1_000_000
csv.field_size_limit(MAX_LINE_BYTES)


class BadLine(msgspec.Struct, frozen=True):
    file: str
    number: int
    reason: str


class NotLabelledError(Exception):
    """The file as a whole cannot be read as labelled texts. Says why."""


class Usual(msgspec.Struct, frozen=True, kw_only=True):
    """What holds for lines that do not say it themselves, and the rules that labels may name.

    file: its name; one that ends in .csv is CSV.
    """

    file: str = ""
    direction: str = "input"
    tier: str = "free"
    rules: frozenset[str] = frozenset()


Lines = Iterator[Row | BadLine]


def read_lines(file: BinaryIO, usual: Usual) -> Lines:
    """Yield each line as a row or as a bad line. NotLabelledError before the first if there can be none."""
    if Path(usual.file).suffix.casefold() == ".csv":
        yield from read_csv(file, usual)
    else:
        yield from read_json(file, usual)


def read_json(file: BinaryIO, usual: Usual) -> Lines:
    for number, line in enumerate(_bounded(file), 1):
        if not line.strip():
            continue
        try:
            given = _JSON.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            yield BadLine(usual.file, number, f"it is no JSON object: {error}")
            continue
        yield _row(number, given, usual)


_JSON = msgspec.json.Decoder(dict[str, Any])


def _bounded(file: BinaryIO) -> Iterator[bytes]:
    """Yield lines; of one that is too long only its beginning, which is then no JSON."""
    while line := file.readline(MAX_LINE_BYTES):
        rest = line
        while len(rest) == MAX_LINE_BYTES and not rest.endswith(b"\n"):
            rest = file.readline(MAX_LINE_BYTES)
        yield line


def read_csv(file: BinaryIO, usual: Usual) -> Lines:
    lines = _Decoded(file)
    reader = csv.DictReader(lines, strict=True)
    try:
        names = {name.strip().casefold() for name in reader.fieldnames or ()}
    except csv.Error as error:
        raise NotLabelledError(f"it is no CSV: {error}") from error
    if not {"text", "label"} <= names:
        raise NotLabelledError("its first line must name the columns text and label")
    while True:
        try:
            given = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield BadLine(usual.file, lines.number, f"it is no CSV: {error}")
            continue
        yield _row(lines.number, given, usual)


class _Decoded:
    """Lines as text, of which number says how many were read: csv counts none that it fails on."""

    def __init__(self, lines: Iterable[bytes]) -> None:
        self.number = 0
        self._lines = iter(lines)

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        text = next(self._lines).decode(errors="surrogateescape")
        self.number += 1
        return text.removeprefix(_MARK) if self.number == 1 else text


_MARK = "\N{ZERO WIDTH NO-BREAK SPACE}"  # that some programs put before UTF-8


def _row(number: int, given: Mapping[Any, Any], usual: Usual) -> Row | BadLine:
    """Several lines of CSV may make one row: number is the one on which it ends."""
    said = {
        name.strip().casefold(): value
        for name, value in given.items()
        if isinstance(name, str) and value is not None
    }
    try:
        return _make(number, said, usual)
    except (ValueError, msgspec.ValidationError) as error:
        return BadLine(usual.file, number, str(error))


def _make(number: int, said: Mapping[str, Any], usual: Usual) -> Row:
    text = said.get("text")
    if not isinstance(text, str) or not text:
        raise ValueError("it has no text")
    for name in _USED:
        if not _is_unicode(str(said.get(name, ""))):
            raise ValueError(f"its {name} is no UTF-8")
    is_hit, rules = read_label(_word(said.get("label", "")), usual.rules)
    plain = {
        "file": usual.file,
        "number": number,
        "text": text,
        "is_hit": is_hit,
        "rules": rules,
        "direction": said.get("direction") or usual.direction,
        "tier": said.get("tier") or usual.tier,
    }
    return msgspec.convert(plain, Row)


_USED = ("text", "label", "direction", "tier")


def _word(label: object) -> str:
    """A label may be a number or a truth in JSON."""
    if isinstance(label, bool | int):
        return str(int(label))
    if isinstance(label, str):
        return label
    raise UnreadableLabelError("its label is neither a word nor a number")


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
