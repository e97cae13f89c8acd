import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardrails import patterns
from guardrails.context import Context, Direction
from guardrails.dealer import DEALER
from guardrails.engine import MAX_HITS, Engine, compile_rules
from guardrails.rules import Rule, ruleset_hash
from guardrails.verdicts import Verdict
from tests.guardrails.factories import (
    check,
    make_expression,
    make_pattern,
    make_pii,
    make_set,
    make_terms,
    make_threshold,
    said,
    without_clock,
)

DEALER_ENGINE = compile_rules(DEALER)
PIECES = [
    *("tesla", "SLR McLaren", "mclaren", "25 % off", "APR", "liable", "discount", "."),
    *("ß", "ﬁ", "\u200b", "e\u0301", "T\u0435sla", "Por\u017fche", "\ud800", "\u0130"),
]
ANY_TEXT = st.text(st.characters(codec=None)) | st.lists(st.sampled_from(PIECES)).map(
    " ".join
)
NEVER_ENDS = make_pattern("(a|aa)+(?=c)")


@given(
    ANY_TEXT,
    st.sampled_from(["input", "output"]),
    st.sampled_from(["free", "pro", "enterprise", ""]),
)
def test_any_text_gets_a_verdict_whose_places_lie_in_it(
    text: str, direction: Direction, tier: str
) -> None:
    scores = dict.fromkeys(DEALER_ENGINE.needs(direction, tier, "chat"), 0.0)
    about = Context(direction=direction, tier=tier, workflow="chat", scores=scores)
    with without_clock():
        verdict = DEALER_ENGINE.check(text, about)

    assert not verdict.error
    for finding in verdict.findings:
        assert 0 <= finding.start < finding.end <= len(text)
        assert text[finding.start : finding.end] == finding.said


def test_without_rules_everything_is_allowed_under_its_hash() -> None:
    assert check("Tesla") == Verdict(
        action="allow", findings=(), ruleset_hash=ruleset_hash(make_set())
    )


def test_a_finding_explains_itself() -> None:
    [finding] = check("Take 7 % off.", make_threshold(version=3)).findings

    assert (finding.rule, finding.version, finding.number, finding.limit) == (
        "discounts",
        3,
        7,
        5,
    )
    assert (finding.said, finding.start, finding.end, finding.team) == (
        "7 %",
        5,
        8,
        "discount",
    )


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("A Tesla!", ["Tesla"]),
        ("_TESLA_", ["TESLA"]),
        ("Te\u200bsla", ["Te\u200bsla"]),
        ("T\u0435sl\u0430", ["T\u0435sl\u0430"]),
        ("我想买Tesla吗", ["Tesla"]),
        ("teslas", []),
        ("\u0416tesla", []),
        ("tesla\u0301", []),
        ("tesla tesla", ["tesla", "tesla"]),
    ],
)
def test_terms_are_whole_words_in_every_script(text: str, found: list[str]) -> None:
    assert said(check(text, make_terms())) == found


@pytest.mark.parametrize(
    ("term", "text"),
    [
        ("Land Rover", "a LAND-\nROVER"),
        ("保证", "我们保证你"),
        ("Скидка", "есть СКИДКА"),
        ("Νίκη", "η νίκη μου"),
        ("c++", "C++!"),
        ("Straße", "STRASSE"),
    ],
)
def test_terms_of_other_scripts_and_signs(term: str, text: str) -> None:
    assert check(text, make_terms(terms=(term,))).action == "replace"


@pytest.mark.parametrize(
    ("pattern", "text"),
    [("скид\\w+", "СКИДКА"), ("Straße", "strasse"), ("I'm", "i\u2019M")],
)
def test_patterns_of_other_scripts(pattern: str, text: str) -> None:
    assert said(check(text, make_pattern(pattern))) == [text]


def test_an_exception_excuses_its_own_place_alone() -> None:
    rule = make_terms(exceptions=("Tesla Supercharger",))

    assert check("It charges at a Tesla Supercharger.", rule).action == "allow"
    [finding] = check("A Tesla Supercharger, a Tesla and a Supercharger", rule).findings
    assert (finding.start, finding.said) == (24, "Tesla")


def test_an_exception_excuses_its_own_rule_alone() -> None:
    lenient = make_terms(exceptions=("Tesla Supercharger",))
    strict = make_terms(id="strict")

    assert [
        finding.rule
        for finding in check("Tesla Supercharger", lenient, strict).findings
    ] == ["strict"]


def test_an_exception_must_cover_the_whole_place() -> None:
    rule = make_pattern("tesla.*", exceptions=("Tesla Supercharger",))

    assert said(check("tesla supercharger x", rule)) == ["tesla supercharger x"]


def test_nothing_hides_behind_an_excused_place() -> None:
    rule = make_terms(terms=("a b", "b c"), exceptions=("a b",))

    assert said(check("a b c", rule)) == ["b c"]


def test_an_exception_can_excuse_a_number() -> None:
    rule = make_threshold(exceptions=("10 % welcome discount", "10 %"))

    assert check("a 10 % welcome discount", rule).action == "allow"


def test_two_exceptions_of_one_start_reach_as_far_as_the_longer() -> None:
    rule = make_terms(terms=("tesla coil",), exceptions=("tesla", "tesla coil"))

    assert check("a Tesla coil", rule).action == "allow"


@pytest.mark.parametrize("text", ["5 % off", "0 % discount"])
def test_a_limit_itself_is_allowed(text: str) -> None:
    assert check(text, make_threshold()).action == "allow"


def test_what_cannot_be_read_is_held_without_a_number() -> None:
    verdict = check("a huge discount", make_threshold())

    assert (verdict.action, verdict.team, verdict.findings[0].number) == (
        "escalate",
        "discount",
        None,
    )


@pytest.mark.parametrize(
    ("rule", "tier", "workflow"),
    [
        (make_terms(mode="off"), "free", "chat"),
        (make_terms(mode="draft"), "free", "chat"),
        (make_terms(tiers=("pro",)), "free", "chat"),
        (make_terms(), "free", "leads"),
    ],
)
def test_rules_that_do_not_cover_a_text_are_not_run(
    rule: Rule, tier: str, workflow: str
) -> None:
    assert check("Tesla", rule, tier=tier, workflow=workflow).action == "allow"


def test_rules_of_the_other_direction_are_not_run() -> None:
    engine = compile_rules(make_set(make_terms()))

    assert (
        engine.check(
            "Tesla", Context(direction="input", tier="free", workflow="chat")
        ).action
        == "allow"
    )


def test_an_escalation_beats_a_replacement() -> None:
    assert check("Tesla, 7 % off", make_terms(), make_threshold()).team == "discount"


def test_of_one_action_severity_wins_and_then_the_id() -> None:
    mild = make_terms(id="a", reply="mild", severity="low")
    first, second = (
        make_terms(id="b", reply="first"),
        make_terms(id="c", reply="second"),
    )

    assert check("tesla", mild, second, first).reply == "first"


def test_a_pattern_that_never_ends_holds_quickly() -> None:
    start = time.monotonic()
    verdict = check("a" * 5_000 + "b", NEVER_ENDS)

    assert (verdict.action, verdict.team, verdict.reply) == ("escalate", "general", "")
    assert verdict.error == "digits: the time for one rule is used up"
    assert time.monotonic() - start < 1


@pytest.mark.parametrize("pattern", ["(a+)+$", "(a|aa)+$", "(a|a?)+c"])
def test_a_pattern_known_for_blowing_up_does_not_here(pattern: str) -> None:
    start = time.monotonic()

    assert check("a" * 50_000 + "b", make_pattern(pattern)).action == "allow"
    assert time.monotonic() - start < 1


def test_an_error_holds_what_another_rule_would_replace() -> None:
    verdict = check(
        "tesla " + "a" * 5_000 + "b", make_terms(), make_threshold(), NEVER_ENDS
    )

    assert (verdict.action, verdict.team, verdict.reply) == ("escalate", "general", "")
    assert said(verdict) == ["tesla"]


def test_a_block_stays_a_block_and_tells_of_the_error() -> None:
    block = make_terms(direction="input", action="block", reply="block")
    never_ends = make_pattern("(a|aa)+(?=c)", direction="input", action="block")
    verdict = check("tesla " + "a" * 5_000 + "b", block, never_ends)

    assert (verdict.action, verdict.reply) == ("block", "block")
    assert "digits" in verdict.error


@pytest.mark.parametrize(
    "rule", [make_pattern("("), make_threshold(limit=None), make_terms(terms=())]
)
def test_an_invalid_rule_holds_what_it_covers(rule: Rule) -> None:
    verdict = check("hello", rule)

    assert (verdict.action, verdict.team) == ("escalate", "general")
    assert verdict.error.startswith(f"{rule.id}: ")


def test_an_invalid_rule_that_is_off_holds_nothing() -> None:
    assert check("hello", make_pattern("(", mode="off")).action == "allow"


def test_a_text_whose_time_is_used_up_is_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("guardrails.engine.TEXT_BUDGET_S", -1.0)

    assert check("bb", make_pattern(r"(b)\1")).error == (
        "digits: the time for the text is used up"
    )


@pytest.mark.parametrize("policy", ["hold", "hit", "pass"])
def test_what_a_rule_may_let_pass_is_its_own_time_not_that_which_others_had(
    monkeypatch: pytest.MonkeyPatch, policy: str
) -> None:
    monkeypatch.setattr("guardrails.engine.TEXT_BUDGET_S", -1.0)

    verdict = check("bb", make_pattern(r"(b)\1", on_timeout=policy))

    assert (verdict.action, bool(verdict.error)) == ("escalate", True)


EVERY_WAY = (
    make_terms(exceptions=("tesla coil",)),
    make_pattern(r"x\d", id="exact"),
    make_pattern(r"(x)(?=\d)", id="look-around"),
    make_pii("email", "card", "secret", id="personal", direction="output"),
    make_threshold(),
    make_expression("amount > 1.0 && length > 3"),
)
OF_EVERY_WAY = "A Tesla, a tesla coil, x1 for €20, 7 % off, a@b.example"


def test_whenever_its_time_runs_out_a_rule_is_an_error_or_found_all_it_finds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looks = 0

    def clock(leap_at: int) -> Callable[[], float]:
        def now_s() -> float:
            nonlocal looks
            looks += 1
            return 1.0 if looks > leap_at else 0.0

        return now_s

    def check_with(leap_at: int) -> Verdict:
        nonlocal looks
        looks = 0
        monkeypatch.setattr("time.thread_time", clock(leap_at))
        return check(OF_EVERY_WAY, *EVERY_WAY)

    calm = check_with(1_000_000)
    assert {hit.rule for hit in calm.findings} == {rule.id for rule in EVERY_WAY}
    late = [check_with(leap_at) for leap_at in range(looks)]

    for verdict in late:
        told = {error.partition(":")[0] for error in verdict.error.split("; ")}
        lost = {hit.rule for hit in set(calm.findings) - set(verdict.findings)}
        assert set(verdict.findings) <= set(calm.findings)
        assert lost <= told or "more" in verdict.error
        if verdict.error:
            assert (verdict.action, verdict.team) == ("escalate", "general")
        else:
            assert verdict == calm
    assert sum(bool(verdict.error) for verdict in late) > len(late) / 2


def test_a_search_that_others_had_the_time_of_is_made_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spent_s = 0.0

    class Starved:
        """Given up three times because of what other threads did, after so much work."""

        def __init__(self, pattern: patterns.Pattern, work_s: float) -> None:
            self.pattern, self.work_s, self.pauses = pattern, work_s, 3

        def search(self, *args: Any, **options: Any) -> Any:
            nonlocal spent_s
            spent_s += self.work_s
            if self.pauses:
                self.pauses -= 1
                raise TimeoutError("regex timed out")
            return self.pattern.search(*args, **options)

    monkeypatch.setattr("time.thread_time", lambda: spent_s)
    b = patterns.compile_pattern("b")

    assert patterns.Budget(0.05).search(Starved(b, 0.01), "ab", 0).span() == (1, 2)
    with pytest.raises(TimeoutError, match="used up"):
        patterns.Budget(0.05).search(Starved(b, 0.02), "ab", 0)


@pytest.mark.parametrize("mode", ["enforce", "shadow"])
def test_a_flood_of_hits_that_nobody_can_look_at_in_time_holds(
    monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    monkeypatch.setattr("guardrails.scanner.SCAN_BUDGET_S", -1.0)

    verdict = check("tesla " * 600, make_terms(mode=mode))

    assert (verdict.action, verdict.team) == ("escalate", "general")
    assert verdict.error == "there are too many hits to be looked at"
    assert check("tesla " * 500, make_terms()).error == ""


ENDLESS_REDACTION = make_pattern(
    "(?=b)", id="endless", direction="input", action="redact", reply=""
)


def test_what_makes_something_new_to_redact_for_ever_is_held() -> None:
    verdict = check("a bus", ENDLESS_REDACTION)

    assert (verdict.action, verdict.redacted) == ("escalate", "")
    assert verdict.error == "something that must be redacted is still there"


def test_what_cannot_be_redacted_is_blocked_if_a_rule_blocks_it() -> None:
    block = make_terms(direction="input", action="block", terms=("bus",), reply="No.")

    verdict = check("a bus", block, ENDLESS_REDACTION)

    assert (verdict.action, verdict.reply) == ("block", "No.")
    assert verdict.error == "something that must be redacted is still there"


def test_an_exception_excuses_a_place_of_a_pattern_with_look_around() -> None:
    rule = make_pattern(r"x\d(?= )", exceptions=("x1 y",))

    [finding] = check("x1 y x1 z", rule).findings
    assert finding.start == 5


def test_a_flood_of_hits_is_cut() -> None:
    assert len(check("tesla " * 200, make_terms()).findings) == MAX_HITS


def test_a_place_without_length_counts() -> None:
    verdict = check("xab", make_pattern("(?=b)"))

    assert [(finding.start, finding.end) for finding in verdict.findings] == [(2, 2)]


def test_an_engine_tells_what_it_would_run() -> None:
    engine = Engine(make_set(make_terms(), make_threshold(mode="draft")))

    running = engine.rules_for(direction="output", tier="free", workflow="chat")

    assert [compiled.rule.id for compiled in running] == ["brands"]
