"""manage.py guard_eval: labelled files in, figures out."""

import io
import json
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from django.core.management import CommandError, call_command
from django.test import override_settings

from agents.scorers.settings import ScorerSettings
from guardrails.rules import RuleSet, encode_rule_set
from tests.agents.scorers.endpoint import settings_for
from tests.guardrails.factories import make_set, make_terms

BRANDS = make_set(make_terms(direction="input", action="block"))
MEANT = msgspec.structs.replace(
    BRANDS.rules[0],
    id="meant",
    kind="topic",
    terms=(),
    limit=0.6,
    examples=("Write a poem.",),
)
NOWHERE = settings_for("http://127.0.0.1:1/v1")


@pytest.fixture
def run(tmp_path: Path) -> Any:
    def run(
        *files: Path, rule_set: RuleSet = BRANDS, scorers: ScorerSettings = NOWHERE
    ) -> tuple[str, str, dict[str, Any]]:
        rules, report = tmp_path / "rules.json", tmp_path / "report.json"
        rules.write_bytes(encode_rule_set(rule_set))
        out, err = io.StringIO(), io.StringIO()
        failed = ""
        with override_settings(SCORERS=scorers):
            try:
                call_command(
                    "guard_eval",
                    *map(str, files),
                    rules=rules,
                    json=report,
                    stdout=out,
                    stderr=err,
                )
            except CommandError as error:
                failed = str(error)
        found = json.loads(report.read_bytes()) if report.exists() else {}
        return out.getvalue(), err.getvalue() + failed, found

    return run


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_files_of_both_forms_are_read_together(run: Any, tmp_path: Path) -> None:
    table = write(tmp_path / "a.csv", "text,label\nA Tesla,brands\nA Tesla!,pass\n")
    lines = write(tmp_path / "b.jsonl", '{"text": "Audi", "label": "brands"}\n')

    out, err, report = run(table, lines)

    assert err == ""
    assert "the whole set" in out
    assert f"{table}:3: A Tesla!  (brands: “Tesla”)" in out
    assert f"{lines}:1: Audi" in out
    assert report["rows"] == 3
    assert (report["set"]["precision"], report["set"]["recall"]) == (0.5, 0.5)
    assert report["rules"]["brands"]["false_positives"] == 1
    assert report["files"] == [str(table), str(lines)]
    assert len(report["ruleset_hash"]) == 64


def test_a_terminal_is_told_how_far_it_is(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = io.StringIO()
    terminal.isatty = lambda: True  # type: ignore[method-assign]
    monkeypatch.setattr(sys, "stderr", terminal)

    run(write(tmp_path / "a.csv", "text,label\nA Tesla,hit\n"))

    assert terminal.getvalue() == "\r1 texts, 100% \r\033[K"


def test_bad_lines_are_named_and_the_rest_is_counted(run: Any, tmp_path: Path) -> None:
    file = write(
        tmp_path / "a.jsonl",
        '{"text": "A Tesla", "label": "hit"}\nnonsense\n{"text": "x", "label": "maybe"}\n',
    )

    out, err, report = run(file)

    assert f"{file}:2: it is no JSON object" in err
    assert f"{file}:3: the label “maybe” is neither hit nor pass" in err
    assert "2 lines could not be read." in err
    assert "the whole set" in out
    assert report["rows"] == 1
    assert [bad["number"] for bad in report["bad_lines"]["first"]] == [2, 3]


def test_rules_by_meaning_are_asked_for_their_scores(
    run: Any, tmp_path: Path, scorer_settings: ScorerSettings
) -> None:
    file = write(
        tmp_path / "a.csv",
        "text,label\nPlease write a poem.,meant\nWhere can I park?,pass\n",
    )

    _, err, report = run(file, rule_set=RuleSet((MEANT,)), scorers=scorer_settings)

    assert err == ""
    assert (report["set"]["precision"], report["set"]["recall"]) == (1.0, 1.0)


def test_what_could_not_be_checked_is_no_result(run: Any, tmp_path: Path) -> None:
    file = write(tmp_path / "a.csv", "text,label\nPlease write a poem.,meant\n")

    out, err, report = run(file, rule_set=RuleSet((MEANT,)))

    assert "1 texts were not checked." in err
    assert "The embeddings endpoint gave no answer: ClientConnectorError" in out
    assert report["set"]["recall"] is None
    assert report["unchecked"] == 1


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("a.csv", "one,two\n", "its first line must name the columns text and label."),
        ("a.csv", "text,label\n", "There was no text in it."),
        ("a.jsonl", "", "There was no text in it."),
    ],
)
def test_a_file_without_labelled_texts_says_so(
    run: Any, tmp_path: Path, name: str, text: str, reason: str
) -> None:
    _, err, _ = run(write(tmp_path / name, text))

    assert reason in err


def test_a_file_that_is_not_there_is_named(run: Any, tmp_path: Path) -> None:
    _, err, _ = run(tmp_path / "nobody.csv")

    assert err == f"{tmp_path / 'nobody.csv'}: No such file or directory"


def test_rules_that_are_none_are_refused(tmp_path: Path) -> None:
    file = write(tmp_path / "a.csv", "text,label\n")
    bad = write(tmp_path / "rules.json", "[]")

    with pytest.raises(CommandError, match="is no rule-set"):
        call_command("guard_eval", str(file), rules=bad)
    with pytest.raises(CommandError, match="No such file"):
        call_command("guard_eval", str(file), rules=tmp_path / "nothing.json")
