import pytest

from guardrails.cases import CaseFailure, run_cases
from guardrails.engine import Engine
from guardrails.rules import Rule
from tests.guardrails.factories import make_pattern, make_set, make_terms

GOOD = make_terms(must_hit=("A Tesla",), must_pass=("A car",))


def failures(*rules: Rule) -> list[tuple[str, str, str]]:
    return [
        (failure.rule, failure.wanted, failure.where)
        for failure in run_cases(make_set(*rules))
    ]


def test_good_cases_pass() -> None:
    assert failures(GOOD) == []


def test_a_case_that_fails_says_what_happened() -> None:
    [alone, together] = run_cases(
        make_set(make_terms(must_hit=("A car",), must_pass=()))
    )

    assert alone == CaseFailure("brands", "A car", "hit", "alone", "allow: nothing hit")
    assert together.where == "together"


def test_a_must_pass_case_that_hits_fails() -> None:
    [alone, _] = run_cases(make_set(make_terms(must_pass=("A Tesla",))))

    assert alone.got == "replace: brands at “Tesla”"


def test_a_tag_is_a_hit_too() -> None:
    assert failures(make_terms(action="tag", must_pass=("A Tesla",)))[0] == (
        "brands",
        "pass",
        "alone",
    )


@pytest.mark.parametrize(
    "rule",
    [
        make_terms(),
        make_terms(workflows=(), must_hit=("A Tesla",)),
    ],
    ids=["no cases", "covers nothing"],
)
def test_an_enforced_rule_of_which_nothing_was_evaluated_fails(rule: Rule) -> None:
    assert failures(rule) == [
        ("brands", "a case", "alone"),
        ("brands", "a case", "together"),
    ]


def test_a_rule_that_its_engine_does_not_run_fails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Engine, "rules_for", lambda *_, **__: [])

    assert failures(GOOD) == [
        ("brands", "a case", "alone"),
        ("brands", "a case", "together"),
    ]


def test_drafts_are_tried_alone_and_need_no_case() -> None:
    assert failures(make_terms(mode="draft")) == []
    assert failures(make_terms(mode="draft", must_hit=("A car",))) == [
        ("brands", "hit", "alone")
    ]


def test_what_is_off_is_not_tried() -> None:
    assert failures(make_terms(mode="off", must_hit=("A car",))) == []


def test_a_text_must_pass_the_whole_set() -> None:
    other = make_pattern("car", must_hit=("car",))

    assert failures(GOOD, other) == [("brands", "pass", "together")]


def test_a_rule_that_cannot_run_fails_its_cases() -> None:
    assert ("digits", "pass", "alone") in failures(make_pattern("(", must_pass=("x",)))


def test_cases_run_in_every_tier_that_the_rule_covers() -> None:
    strict = make_pattern("car", tiers=("pro",), must_hit=("car",))
    other = make_pattern("x", id="x", tiers=("free",), must_hit=("x",))

    [failure] = run_cases(make_set(GOOD, strict, other))

    assert (failure.rule, failure.wanted, failure.where, failure.places) == (
        "brands",
        "pass",
        "together",
        ("pro",),
    )


def test_a_case_that_is_there_twice_is_told_once() -> None:
    twice = make_terms(must_hit=("A car", "A car"), must_pass=("Tesla", "Tesla"))

    assert failures(twice) == [
        ("brands", wanted, where)
        for where in ("alone", "together")
        for wanted in ("hit", "pass")
    ]


def test_what_fails_alike_everywhere_is_told_once() -> None:
    wide = make_terms(
        tiers=("free", "pro"), workflows=("chat", "sales"), must_hit=("A car",)
    )
    free = make_pattern("car", tiers=("free",), must_hit=("car",))

    alone, with_digits, without = run_cases(make_set(wide, free))

    assert (alone.where, alone.places) == ("alone", ())
    assert with_digits.places == ("free in chat",)
    assert without.places == ("free in sales", "pro in chat", "pro in sales")
