"""Precision, recall and samples, for each rule and for the set."""

from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from guardrails.evaluation import MAX_SAMPLES, SAMPLE_CHARACTERS, Row, begin
from guardrails.evaluation_report import as_plain, as_text
from guardrails.verdicts import Action, Finding, Verdict
from tests.guardrails.factories import make_set, make_terms

RULES = make_set(
    make_terms(), make_terms(id="digits"), make_terms(id="quiet", mode="off")
)


def row(number: int, *, is_hit: bool, rules: tuple[str, ...] = ()) -> Row:
    return Row(
        file="a.csv",
        number=number,
        text=f"text {number}",
        is_hit=is_hit,
        rules=frozenset(rules),
        direction="output",
        tier="free",
    )


def verdict(*rules: str, action: Action = "replace", **fields: Any) -> Verdict:
    findings = tuple(
        Finding(
            rule=rule,
            name=rule,
            version=1,
            kind="terms",
            action=action,
            severity="low",
            start=0,
            end=4,
            said="text",
        )
        for rule in rules
    )
    return Verdict(action=action if rules else "allow", findings=findings, **fields)


def test_the_set_and_each_rule_have_their_own_figures() -> None:
    evaluation = begin(RULES)
    evaluation.add(row(1, is_hit=True, rules=("brands",)), verdict("brands"))
    evaluation.add(row(2, is_hit=True, rules=("brands",)), verdict("digits"))
    evaluation.add(row(3, is_hit=True, rules=("digits",)), verdict())
    evaluation.add(row(4, is_hit=False), verdict("brands", "digits"))
    evaluation.add(row(5, is_hit=False), verdict())

    whole, brands, digits = (
        evaluation.whole,
        evaluation.rules["brands"],
        evaluation.rules["digits"],
    )
    assert (whole.precision, whole.recall, whole.false_positive_rate) == (
        2 / 3,
        2 / 3,
        0.5,
    )
    assert (brands.precision, brands.recall) == (0.5, 0.5)
    assert (digits.precision, digits.recall) == (0.0, 0.0)
    assert [sample.line for sample in brands.false_positive_samples] == [4]
    assert [sample.line for sample in digits.false_positive_samples] == [2, 4]
    assert [sample.line for sample in whole.false_negative_samples] == [3]
    assert set(evaluation.rules) == {"brands", "digits"}


def test_without_labels_for_rules_a_rule_has_precision_and_no_recall() -> None:
    evaluation = begin(RULES)
    evaluation.add(row(1, is_hit=True), verdict("brands"))
    evaluation.add(row(2, is_hit=True), verdict("digits"))
    evaluation.add(row(3, is_hit=False), verdict("digits"))

    assert evaluation.whole.recall == 1.0
    assert (
        evaluation.rules["brands"].precision,
        evaluation.rules["brands"].recall,
    ) == (1.0, None)
    assert evaluation.rules["digits"].precision == 0.5


def test_a_tag_is_a_hit_of_its_rule_and_none_of_the_set() -> None:
    evaluation = begin(RULES)
    evaluation.add(row(1, is_hit=False), verdict("brands", action="tag"))

    assert evaluation.whole.hits == 0
    assert evaluation.rules["brands"].hits == 1


def test_what_is_redacted_is_a_hit_of_the_set() -> None:
    evaluation = begin(RULES)
    redacted = verdict("brands", action="tag", redacted="[removed] 1")
    evaluation.add(row(1, is_hit=True), redacted)
    evaluation.add(row(2, is_hit=False), redacted)

    whole = evaluation.whole
    assert (whole.true_positives, whole.false_positives, whole.recall) == (1, 1, 1.0)


def test_a_rule_that_only_watches_has_figures_and_is_nothing_to_the_set() -> None:
    watching = make_terms(id="watching", mode="shadow")
    evaluation = begin(make_set(watching, make_terms(mode="draft")))
    seen = replace(verdict(), shadow=verdict("watching").findings)
    evaluation.add(row(1, is_hit=True, rules=("watching",)), seen)
    evaluation.add(row(2, is_hit=True), replace(seen, shadow_error="no score toxicity"))

    assert list(evaluation.rules) == ["watching"]
    assert evaluation.rules["watching"].recall == 1.0
    assert (evaluation.whole.recall, evaluation.unchecked) == (0.0, 1)


def test_what_was_not_checked_counts_nowhere_else() -> None:
    evaluation = begin(RULES)
    evaluation.add(row(1, is_hit=True), verdict(error="no score toxicity"))

    assert (evaluation.rows, evaluation.unchecked) == (1, 1)
    assert evaluation.whole.recall is None
    assert "1 of them: no score toxicity" in "\n".join(as_text(evaluation))


def test_of_many_mistakes_a_few_are_kept() -> None:
    evaluation = begin(RULES)
    for number in range(1_000):
        evaluation.add(row(number, is_hit=False), verdict("brands"))

    assert evaluation.whole.false_positives == 1_000
    assert len(evaluation.whole.false_positive_samples) == MAX_SAMPLES


def test_the_report_is_for_people_and_for_machines() -> None:
    evaluation = begin(RULES)
    evaluation.add(row(1, is_hit=True, rules=("brands",)), verdict("brands"))
    evaluation.add(row(2, is_hit=False), verdict("brands"))

    table = list(as_text(evaluation))
    plain = msgspec.json.decode(msgspec.json.encode(as_plain(evaluation)))

    assert table[1].split()[:3] == ["the", "whole", "set"]
    assert any("50.0 %" in line and "100.0 %" in line for line in table)
    assert "  a.csv:2: text 2  (brands: “text”)" in table
    assert plain["set"]["precision"] == 0.5
    assert plain["rules"]["brands"]["false_positive_samples"] == [
        {
            "file": "a.csv",
            "line": 2,
            "text": "text 2",
            "said": "brands: “text”",
            "start": 0,
            "spans": [[0, 4]],
        }
    ]
    assert plain["rules"]["digits"]["precision"] is None


@pytest.mark.parametrize("at", [0, 50, 700, 1_996])
def test_a_sample_of_a_long_text_has_what_was_hit_in_it(at: int) -> None:
    text = "x" * at + "text" + "x" * (1_996 - at)
    found = verdict("brands")
    [finding] = found.findings
    moved = msgspec.structs.replace(finding, start=at, end=at + 4)
    evaluation = begin(RULES)
    evaluation.add(
        msgspec.structs.replace(row(1, is_hit=False), text=text),
        msgspec.structs.replace(found, findings=(moved,)),
    )

    [sample] = evaluation.rules["brands"].false_positive_samples
    [(start, end)] = sample.spans
    assert sample.text[start:end] == "text"
    assert len(sample.text) == SAMPLE_CHARACTERS
    assert text[sample.start :].startswith(sample.text)


@pytest.mark.parametrize("text", ["short", "a " * 200])
def test_a_sample_fits_into_a_line(text: str) -> None:
    evaluation = begin(RULES)
    evaluation.add(msgspec.structs.replace(row(1, is_hit=True), text=text), verdict())

    assert all(len(line) < 100 for line in as_text(evaluation))
