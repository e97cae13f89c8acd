"""Labelled texts of files, line by line."""

import io
import tracemalloc

import pytest

from guardrails.evaluation import Row
from guardrails.labelled import BadLine, NotLabelledError, Usual, read_lines

RULES = frozenset({"poems", "theft"})


def read(text: str | bytes, name: str = "a.jsonl") -> list[Row | BadLine]:
    data = text if isinstance(text, bytes) else text.encode()
    return list(read_lines(io.BytesIO(data), Usual(file=name, rules=RULES)))


def row(number: int, text: str, *, is_hit: bool, **fields: object) -> Row:
    usual = {"file": "a.jsonl", "direction": "input", "tier": "free"}
    return Row(number=number, text=text, is_hit=is_hit, **(usual | fields))  # type: ignore[arg-type]


def test_lines_of_json_and_of_csv_are_the_same_rows() -> None:
    json = '{"text": "a", "label": "hit"}\n\n{"text": "b,\\n c", "label": 0, "tier": "pro", "more": 1}'
    table = 'Text,label,tier,more\na,hit,,\n"b,\n c",pass,pro,1\n'

    assert read(json) == [
        row(1, "a", is_hit=True),
        row(3, "b,\n c", is_hit=False, tier="pro"),
    ]
    assert read(table, "a.csv") == [
        row(2, "a", is_hit=True, file="a.csv"),
        row(4, "b,\n c", is_hit=False, tier="pro", file="a.csv"),
    ]
    assert read(b"\xef\xbb\xbftext,label\na,hit", "a.CSV")[0].number == 2


@pytest.mark.parametrize(
    ("label", "is_hit", "rules"),
    [
        ('"hit"', True, set()),
        ('"Block"', True, set()),
        ("true", True, set()),
        ("1", True, set()),
        ('"toxic"', True, set()),
        ('" allow "', False, set()),
        ("false", False, set()),
        ("0", False, set()),
        ('"poems"', True, {"poems"}),
        ('"poems, theft"', True, {"poems", "theft"}),
        ('"theft;poems"', True, {"poems", "theft"}),
    ],
)
def test_a_label_says_whether_or_which(
    label: str,
    is_hit: bool,  # noqa: FBT001
    rules: set[str],
) -> None:
    [found] = read(f'{{"text": "a", "label": {label}}}')

    assert found == row(1, "a", is_hit=is_hit, rules=frozenset(rules))


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("nonsense", "it is no JSON object"),
        ("[1]", "it is no JSON object"),
        ('{"label": "hit"}', "it has no text"),
        ('{"text": "", "label": "hit"}', "it has no text"),
        ('{"text": 7, "label": "hit"}', "it has no text"),
        ('{"text": "a"}', "it has no label"),
        ('{"text": "a", "label": " "}', "it has no label"),
        ('{"text": "a", "label": [1]}', "its label is neither a word nor a number"),
        ('{"text": "a", "label": 7}', "the label “7” is neither hit nor pass"),
        ('{"text": "a", "label": "poems maybe"}', "the label “maybe” is neither"),
        ('{"text": "a", "label": "hit", "direction": "up"}', "Invalid enum value 'up'"),
        ('{"text": "\\ud800", "label": "hit"}', "it is no JSON object"),
        (b'{"text": "\xff", "label": "hit"}', "it is no JSON object"),
        ('{"text": "' + "a" * 1_000_001 + '"}', "it is no JSON object"),
    ],
    ids=range(14),
)
def test_a_bad_line_is_named_and_the_next_is_read(
    line: str | bytes, reason: str
) -> None:
    data = line if isinstance(line, bytes) else line.encode()
    bad, good = read(data + b'\n{"text": "b", "label": "pass"}')

    assert isinstance(bad, BadLine)
    assert (bad.file, bad.number) == ("a.jsonl", 1)
    assert reason in bad.reason
    assert good == row(2, "b", is_hit=False)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"a,", "it has no label"),
        (b"a", "it has no label"),
        (b",hit", "it has no text"),
        (b"\xff,hit", "its text is no UTF-8"),
        (b"a,\xff", "its label is no UTF-8"),
        (b'"a"b,hit', "it is no CSV"),
        (b"x" * 1_000_001 + b",hit", "it is no CSV"),
    ],
    ids=range(7),
)
def test_a_bad_line_of_csv_too(line: bytes, reason: str) -> None:
    bad, good = read(b"text,label\n" + line + b"\nb,pass\n", "a.csv")

    assert isinstance(bad, BadLine)
    assert bad.number == 2
    assert reason in bad.reason
    assert good == row(3, "b", is_hit=False, file="a.csv")


@pytest.mark.parametrize("text", ["", "a,b\n1,2\n", "\n", '"a'])
def test_csv_without_its_columns_is_refused_as_a_whole(text: str) -> None:
    with pytest.raises(NotLabelledError, match=r"columns text and label|no CSV"):
        read(text, "a.csv")


def test_a_large_file_is_never_in_memory() -> None:
    line = b'{"text": "' + b"a" * 1_000 + b'", "label": "hit"}\n'

    class Large(io.RawIOBase):
        left = 20_000

        def readable(self) -> bool:
            return True

        def readinto(self, buffer: "bytearray") -> int:  # type: ignore[override]
            count = min(len(buffer) // len(line), self.left)
            self.left -= count
            buffer[: count * len(line)] = line * count
            return count * len(line)

    file = io.BufferedReader(Large(), buffer_size=100 * len(line))  # type: ignore[type-var]
    tracemalloc.start()
    rows = sum(1 for _ in read_lines(file, Usual(file="a.jsonl")))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert rows == 20_000
    assert most < 2_000_000
