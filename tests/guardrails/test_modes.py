"""Which rules act, in which order they win, and that none of them reaches beyond itself."""

from itertools import islice, permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from guardrails.context import Context
from guardrails.dealer import DEALER
from guardrails.dealer_topics import TOPICS
from guardrails.engine import compile_rules
from guardrails.rules import Rule, RuleSet
from guardrails.verdicts import Verdict
from tests.guardrails.factories import (
    check,
    make_expression,
    make_pattern,
    make_pii,
    make_score,
    make_set,
    make_terms,
    said,
    without_clock,
)

STUCK = r"(a|aa)+(?=c)"
ENDLESS = "a" * 3_000 + "b"


def _outcome(verdict: Verdict) -> Verdict:
    return replace(verdict, ruleset_hash="")


def test_a_rule_in_shadow_reports_and_never_acts() -> None:
    verdict = check("A Tesla", make_terms(mode="shadow"))

    assert (verdict.action, verdict.findings, verdict.reply) == ("allow", (), "")
    assert said(replace(verdict, findings=verdict.shadow)) == ["Tesla"]


@pytest.mark.parametrize(
    "rule",
    [
        make_pattern(STUCK, mode="shadow"),
        make_terms(terms=(), mode="shadow"),
        make_score(mode="shadow"),
    ],
)
def test_what_goes_wrong_in_shadow_holds_nothing(rule: Rule) -> None:
    verdict = check(ENDLESS, rule)

    assert (verdict.action, verdict.error) == ("allow", "")
    assert verdict.shadow_error.startswith(f"{rule.id}: ")


def test_shadow_redacts_nothing() -> None:
    verdict = check("a@b.example", make_pii("email", mode="shadow"))

    assert (verdict.action, verdict.redacted, len(verdict.shadow)) == ("allow", "", 1)


def test_a_canary_acts_in_its_share_of_traces_and_always_in_the_same() -> None:
    rule = make_terms(mode="canary", percent=25)
    traces = [f"{number:032x}" for number in range(2_000)]

    first = [check_of(rule, trace).action for trace in traces]

    assert 0.2 < first.count("replace") / len(first) < 0.3
    assert [check_of(rule, trace).action for trace in traces] == first
    wider = replace(rule, percent=60)
    acting = [
        trace
        for trace, action in zip(traces, first, strict=True)
        if action == "replace"
    ]
    assert {check_of(wider, trace).action for trace in acting} == {"replace"}
    other = [check_of(replace(rule, id="other"), trace).action for trace in traces]
    assert other != first


def test_a_canary_reports_where_it_does_not_act() -> None:
    for number in range(50):
        verdict = check_of(make_terms(mode="canary", percent=50), str(number))
        assert len(verdict.findings) + len(verdict.shadow) == 1
        assert bool(verdict.findings) is (verdict.action == "replace")


def check_of(rule: Rule, trace_id: str) -> Verdict:
    return check("A Tesla", rule, trace_id=trace_id)


LADDER = [
    make_terms(
        id="e", direction="input", action="block", severity="low", reply="block"
    ),
    make_terms(id="d", direction="input", action="escalate", team="legal", reply=""),
    make_terms(id="c", direction="input", action="redact", reply=""),
    make_terms(id="b", direction="input", action="tag", reply=""),
    make_terms(id="a", direction="input", action="allow", severity="high", reply=""),
]


@pytest.mark.parametrize("strongest", range(5))
def test_the_strongest_action_wins_whatever_the_order(strongest: int) -> None:
    for rules in islice(permutations(LADDER[strongest:]), 0, None, 5):
        verdict = check("tesla", *rules)
        assert verdict.action == LADDER[strongest].action.replace("redact", "tag")
        assert verdict.team == ("legal" if strongest == 1 else "")
        assert verdict.redacted == ("[removed]" if strongest < 3 else "")


def test_replace_beats_redact_and_escalate_beats_replace() -> None:
    redact = make_terms(id="r", action="redact", reply="")
    escalate = make_terms(id="e", action="escalate", team="legal", reply="")

    assert check("tesla", redact, make_terms()).action == "replace"
    assert check("tesla", escalate, make_terms()).action == "escalate"


def test_of_one_action_priority_wins_before_severity() -> None:
    urgent = make_terms(id="z", reply="urgent", severity="low", priority=1)
    severe = make_terms(id="a", reply="severe", severity="high")

    assert check("tesla", severe, urgent).reply == "urgent"


PIECES = [
    "tesla",
    "tesla coil",
    "coil",
    "a@b.example",
    "20 % off",
    "x1",
    "é",
    "\u200b",
    "in stock",
    "保",
    " ",
]
TEXTS = st.lists(st.sampled_from(PIECES), max_size=8).map(" ".join) | st.text(
    max_size=20
)
OTHERS = [
    make_terms(id="other", terms=("tesla coil", "coil")),
    make_pattern(r"x\d", id="digits", direction="output"),
    make_pii("email", direction="output"),
    make_expression("discount_percent > 5.0", id="discount"),
]
PLAIN = make_terms()
LENIENT = make_terms(exceptions=("tesla coil", "in stock"))
WITHOUT, WITH = (compile_rules(make_set(rule, *OTHERS)) for rule in (PLAIN, LENIENT))
OUTPUT = Context(direction="output", tier="free", workflow="chat")


@settings(max_examples=100, deadline=None)
@given(TEXTS)
def test_an_exception_switches_off_no_other_rule_and_no_other_place(text: str) -> None:
    with without_clock():
        strict = WITHOUT.check(text, OUTPUT).findings
        lenient = WITH.check(text, OUTPUT).findings

    assert [f for f in lenient if f.rule != "brands"] == [
        f for f in strict if f.rule != "brands"
    ]
    kept = [f for f in strict if f.rule == "brands" and not _is_coil(text, f.start)]
    assert [f for f in lenient if f.rule == "brands"] == kept


def _is_coil(text: str, start: int) -> bool:
    words = text[start:].replace("\u200b", "").replace("-", " ").split()
    return words[:2] == ["tesla", "coil"]


@pytest.mark.parametrize("mode", ["off", "draft"])
@settings(max_examples=40, deadline=None)
@given(TEXTS)
def test_a_rule_that_is_off_changes_nothing(mode: str, text: str) -> None:
    with without_clock():
        assert _outcome(_WITH_OFF[mode].check(text, OUTPUT)) == _outcome(
            WITHOUT.check(text, OUTPUT)
        )


_OFF = [
    make_pattern(".", id="all"),
    make_pattern("(", id="broken"),
    make_pii("email", id="mails", direction="output"),
    make_score(id="score"),
]
_WITH_OFF = {
    mode: compile_rules(
        make_set(PLAIN, *OTHERS, *(replace(rule, mode=mode) for rule in _OFF))
    )
    for mode in ("off", "draft")
}


def test_what_was_published_before_has_the_hash_that_it_had() -> None:
    earlier = tuple(rule for rule in DEALER.rules if rule not in TOPICS)
    assert compile_rules(RuleSet(earlier)).ruleset_hash == (
        "bce4d0ce2dc557a25b3a5a08352d7e4b7dc864c8eb163ee0e2343505353f786e"
    )
