import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from guardrails.checks import check_rule, check_rule_set
from guardrails.dealer import DEALER
from guardrails.rules import (
    Rule,
    RuleSet,
    decode_rule_set,
    encode_rule_set,
    ruleset_hash,
)
from tests.guardrails.factories import (
    check,
    make_pattern,
    make_pii,
    make_score,
    make_set,
    make_terms,
    make_threshold,
)

CHANGES: list[dict[str, object]] = [
    {"id": "makes"},
    {"name": "Makes"},
    {"direction": "input"},
    {"kind": "pattern"},
    {"action": "tag"},
    {"severity": "high"},
    {"mode": "draft"},
    {"version": 2},
    {"tiers": ("free",)},
    {"workflows": ("leads",)},
    {"terms": ("tesla", "audi")},
    {"pattern": "x"},
    {"field": "discount_percent"},
    {"limit": 1.0},
    {"team": "legal"},
    {"reply": "No."},
    {"exceptions": ("tesla coil",)},
    {"must_hit": ("A Tesla",)},
    {"must_pass": ("A car",)},
    {"priority": 1},
    {"percent": 5.0},
    {"types": ("card",)},
    {"regions": ("DE",)},
    {"expression": "length > 5"},
    {"score": "toxicity"},
    {"examples": ("A poem",)},
    {"counter_examples": ("A key with a poem on it",)},
    {"is_allow_list": True},
    {"instruction": "Is it rude?"},
    {"on_timeout": "hit"},
]


@given(st.permutations(DEALER.rules))
def test_the_hash_is_independent_of_the_order_of_rules(rules: list[Rule]) -> None:
    assert ruleset_hash(RuleSet(tuple(rules))) == ruleset_hash(DEALER)


@pytest.mark.parametrize(
    "changes",
    CHANGES,
    ids=lambda changes: next(iter(changes)),
)
def test_the_hash_changes_with_any_content(changes: dict[str, object]) -> None:
    assert ruleset_hash(make_set(make_terms(**changes))) != ruleset_hash(
        make_set(make_terms())
    )


def test_every_field_of_a_rule_is_tried_above() -> None:
    assert {key for changes in CHANGES for key in changes} == set(
        Rule.__struct_fields__
    )


def test_one_rule_set_has_one_form() -> None:
    rule_set = make_set(make_threshold(limit=5), make_terms())

    again = decode_rule_set(encode_rule_set(rule_set))

    assert again.rules == tuple(sorted(rule_set.rules, key=lambda rule: rule.id))
    assert ruleset_hash(again) == ruleset_hash(rule_set)
    assert ruleset_hash(rule_set) == ruleset_hash(
        make_set(make_terms(), make_threshold(limit=5.0))
    )


def test_what_this_version_cannot_enforce_is_refused() -> None:
    data = encode_rule_set(make_set(make_terms())).replace(
        b'"name"', b'"canary":5,"name"'
    )

    with pytest.raises(msgspec.ValidationError, match="canary"):
        decode_rule_set(data)


@pytest.mark.parametrize(
    "rule", [make_terms(), make_pattern("a+"), make_threshold(), *DEALER.rules]
)
def test_valid_rules_have_no_problems(rule: Rule) -> None:
    assert check_rule(rule) == []


@pytest.mark.parametrize(
    ("rule", "problem"),
    [
        (make_terms(id="No slug"), "The id must be"),
        (make_terms(name=" "), "needs a name"),
        (make_terms(terms=()), "at least one term"),
        (make_terms(terms=("tesla", " ")), "One term is blank."),
        (make_terms(terms=("\u200b",)), "One term is blank."),
        (make_terms(exceptions=("",)), "One exception is blank."),
        (make_terms(terms=("tesla", "- -")), "One term is blank."),
        (make_terms(exceptions=(" -",)), "One exception is blank."),
        (make_terms(must_pass=("",)), "One case is blank."),
        (make_score(exceptions=("so",)), "excuse nothing that models score"),
        (make_terms(terms=("a" * 501,)), "One term is longer than 500 characters."),
        (make_terms(exceptions=("a" * 501,)), "One exception is longer than 500"),
        (make_terms(workflows=()), "covers no workflow"),
        (make_terms(reply=""), "text that the user gets"),
        (make_terms(direction="input"), "Only an answer can be replaced"),
        (make_terms(action="block"), "Only what comes in can be blocked"),
        (make_terms(action="escalate", team="sales"), "the team that decides"),
        (make_threshold(team=""), "the team that decides"),
        (make_threshold(limit=None), "needs a limit"),
        (make_threshold(limit=float("nan")), "limit must be a finite number"),
        (make_threshold(field=""), "the field it reads"),
        (make_pii(), "at least one type"),
        (make_pii("shoe size"), "There is no type shoe size"),
        (make_pii("phone", regions=("XX",)), "There is no region XX"),
        (make_score(score="Toxic!"), "the name of the score"),
        (make_score(limit=7), "limit between -1 and 1"),
        (make_score(kind="topic"), "examples of what belongs to it"),
        (make_score(kind="judge"), "what to look for"),
        (make_score(is_allow_list=True), "Only a topic can be an allow-list"),
        (make_score(action="redact"), "have places to redact"),
        (make_terms(mode="canary"), "a percentage above 0"),
        (make_terms(percent=float("inf")), "percent must be a finite number"),
        (make_terms(limit=float("nan")), "limit must be a finite number"),
        (make_terms(priority=2**31), "priority must be between"),
        (make_terms(name="x" * 201), "More than 200 characters in name"),
        (make_terms(tiers=("x" * 51,)), "More than 50 characters in tiers"),
        (make_terms(terms=("te\0la",)), "in terms is one that no text can have"),
        (make_pattern("\ud800"), "in pattern is one that no text can have"),
        (make_terms(must_hit=("\ud800",)), "in must hit is one that no text can"),
        (make_pattern("ab(c"), "missing ) at column 5."),
        (make_pattern(""), "matches the empty string"),
        (make_pattern("a*"), "matches the empty string"),
        (make_pattern(r"\b"), "matches the empty string"),
    ],
)
def test_says_what_keeps_a_rule_from_being_enforced(rule: Rule, problem: str) -> None:
    [told] = check_rule(rule)

    assert problem in told


def test_the_longest_terms_there_may_be_are_compiled() -> None:
    signs = [chr(code) for code in range(0x4E00, 0x4E00 + 20_000)]
    many = tuple("".join(signs[at : at + 100]) for at in range(0, len(signs), 100))
    longest = " ".join(signs[:250]), "".join(signs[:500]), "Ж" * 500
    rule = make_terms(terms=(*longest, *many))

    assert check_rule(rule) == []
    assert check(longest[0], rule).action == "replace"


def test_a_rule_set_names_the_rule_and_the_id_used_twice() -> None:
    rule_set = make_set(make_terms(), make_terms(terms=()))

    assert check_rule_set(rule_set) == [
        "The id brands is used by 2 rules.",
        "Brands: A rule of terms needs at least one term.",
    ]
    assert check_rule_set(DEALER) == []


def test_a_limit_is_a_number_with_a_point() -> None:
    assert isinstance(replace(make_threshold(), limit=7).limit, float)


def test_the_hash_survives_storage_and_equal_strings_that_are_other_objects() -> None:
    mode = "".join(["en", "force"])
    rule_set = RuleSet((replace(make_terms(), mode=mode),))

    assert ruleset_hash(decode_rule_set(encode_rule_set(rule_set))) == ruleset_hash(
        rule_set
    )
    assert ruleset_hash(rule_set) == ruleset_hash(RuleSet((make_terms(),)))
