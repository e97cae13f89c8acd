"""What the audit of what we depend on concludes, from reports as pip-audit writes them."""

import importlib.util
import subprocess
from datetime import date
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
spec = importlib.util.spec_from_file_location(
    "audit", ROOT / "ops" / "audit_dependencies.py"
)
assert spec is not None
assert spec.loader is not None
audit: Any = importlib.util.module_from_spec(spec)
spec.loader.exec_module(audit)

TODAY = date(2026, 6, 1)
FINE = {"name": "fine", "version": "1.0", "vulns": []}
FLAWED = {
    "name": "flawed",
    "version": "2.1",
    "vulns": [
        {
            "id": "PYSEC-2026-7",
            "aliases": ["CVE-2026-77"],
            "fix_versions": ["2.2"],
            "description": "Too long a text.",
        }
    ],
}
UNKNOWN = {
    "name": "unknown",
    "skip_reason": "Dependency not found on PyPI and could not be audited: unknown (3.0)",
}


def report(*packages: Any) -> dict[str, Any]:
    return {"dependencies": list(packages), "fixes": []}


def excuse(name: str, until: date) -> list[dict[str, Any]]:
    return [{"id": name, "why": "It does not reach us.", "until": until}]


def test_nothing_known_is_no_fault() -> None:
    found = audit.judge([report(FINE)], [], TODAY)

    assert not found.fails(is_required=True)
    assert found.lines() == ["1 packages audited, none known as vulnerable"]


def test_what_is_known_is_a_fault_with_the_version_that_mends_it() -> None:
    found = audit.judge([report(FINE, FLAWED), report(FLAWED)], [], TODAY)

    assert found.fails(is_required=False)
    assert found.lines() == ["flawed 2.1: PYSEC-2026-7, mended in 2.2"]


@pytest.mark.parametrize("name", ["PYSEC-2026-7", "CVE-2026-77"])
def test_what_is_explained_is_no_fault_until_its_day_is_over(name: str) -> None:
    last_day, day_before = excuse(name, TODAY), excuse(name, date(2026, 5, 31))

    assert not audit.judge([report(FLAWED)], last_day, TODAY).fails(is_required=True)
    late = audit.judge([report(FLAWED)], day_before, TODAY)
    assert late.fails(is_required=False)
    assert "not any longer" in late.lines()[0]


def test_an_explanation_excuses_nothing_else() -> None:
    other = excuse("PYSEC-2026-8", TODAY)

    assert audit.judge([report(FLAWED)], other, TODAY).fails(is_required=False)


def test_what_nobody_answers_for_is_said_loudly_and_fails_where_it_must_not_be() -> (
    None
):
    found = audit.judge([report(FINE, UNKNOWN)], [], TODAY)

    assert not found.fails(is_required=False)
    assert found.fails(is_required=True)
    [line] = found.lines()
    assert line.startswith("DEPENDENCIES NOT AUDITED: 1 of 2 packages. Why: Dependency")


def test_without_the_service_nothing_is_audited_and_nothing_pretended() -> None:
    found = audit.judge(["no answer within 60 s"], [], TODAY)

    assert found.fails(is_required=True)
    assert not found.fails(is_required=False)
    assert "NOT AUDITED" in found.lines()[0]


def test_a_tool_that_fails_says_why_there_is_no_report(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(*_: Any, **__: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(
            [], 1, "", "a trace\nConnectionError: no route"
        )

    monkeypatch.setattr(audit.subprocess, "run", broken)

    assert audit.ask("requirements/base.txt") == "ConnectionError: no route"


def test_every_locked_file_is_audited_by_make_lint() -> None:
    files = {
        f"requirements/{each.name}" for each in (ROOT / "requirements").glob("*.txt")
    }
    [line] = [
        line
        for line in (ROOT / "Makefile").read_text().splitlines()
        if "ops/audit_dependencies.py" in line
    ]

    assert files == {word for word in line.split() if word.startswith("requirements/")}
