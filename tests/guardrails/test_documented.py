"""docs/rules.md names every kind, action, mode, field and type of personal data, and no other."""

import re
from typing import get_args

import pytest

from guardrails.expressions import TYPES as FIELDS
from guardrails.expressions import Expression
from guardrails.pii.types import TYPES
from guardrails.rules import Kind, Mode, RuleAction
from tests.conftest import ROOT

TEXT = (ROOT / "docs" / "rules.md").read_text()


def first_cells(heading: str) -> list[str]:
    """The names in the first column of the table under a heading."""
    part = TEXT.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    cells = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \|", part, re.MULTILINE)
    return [name for cell in cells for name in re.findall(r"`(\w+)`", cell)]


@pytest.mark.parametrize(
    ("heading", "known"),
    [
        ("Modes", get_args(Mode)),
        ("Actions, the strongest first", get_args(RuleAction)),
        ("Kinds", get_args(Kind)),
        ("Fields of expressions", FIELDS),
    ],
)
def test_a_table_is_whole(heading: str, known: list[str]) -> None:
    assert sorted(first_cells(heading)) == sorted(known)


def test_all_types_of_personal_data_are_named() -> None:
    assert [each for each in TYPES if f"`{each}`" not in TEXT] == []


def test_its_expressions_are_right() -> None:
    lines = re.findall(r"^    (.+)$", TEXT, re.MULTILINE)
    assert lines
    for line in lines:
        Expression(line, 5.0)
