"""What an editor is told of a rule, and that no pattern can stop a guard."""

import threading
import time

import pytest

from agents.scorers.blocking import BlockingScorers
from guardrails.admission import admit
from guardrails.context import Context
from guardrails.dealer import DEALER
from guardrails.engine import compile_rules
from guardrails.kinds import plan_pattern
from guardrails.patterns import TEXT_BUDGET_S
from guardrails.pii.types import TYPES
from guardrails.scanner import SCAN_BUDGET_S, Scanner, Term
from tests.guardrails.factories import (
    check,
    make_expression,
    make_pattern,
    make_pii,
    make_score,
    make_set,
    make_terms,
)

CASES = {"must_hit": ("I am b1",), "must_pass": ("so what",)}
CATASTROPHES = [
    "(a+)+$",
    "(a+)+b",
    "(a|a)+b",
    "(a|aa)+$",
    "(a*)*b",
    "(a*a*)*b",
    "(?:a?){40}a{40}",
    "(.*a){12}",
    "(.*)*=(.*)*b",
    "([a-z]+)*1",
    "(\\w+\\s?)*!",
    "(\\d+|\\d+x)+y",
    "^(([a-z])+.)+[A-Z]([a-z])+$",
    "(x+x+)+y",
    "((ab)*)*c",
    "(a|b|ab)*c",
    "(?:(?:a{1,30}){1,30}){1,30}b",
    "(a+)+(?=c)",
    "(a|aa)+(?!.)b?(?<=c)",
    "(.+)\\1\\1x",
    "(a*)\\1{2,}b",
    "(\\w+)\\s+\\1\\s+(\\w+)\\s+\\2(?<!z)",
    "(?:(a+)+\\1)+(?!a)c",
    "(?<=(a+)+)b",
    "(?>(a+)+)(?=x)",
]


@pytest.mark.parametrize("pattern", CATASTROPHES)
def test_a_catastrophic_pattern_is_refused_or_bounded(pattern: str) -> None:
    """Where it is admitted, the texts made against it cost little; in force, the worst of them is judged or held in time."""
    rule = make_pattern(pattern)
    admission = admit(rule, make_set(rule))
    # A rule that needs all its own time is refused; the rest of a check is reading the text.
    assert admission.is_refused or (admission.worst_us or 0) < TEXT_BUDGET_S * 1e6

    engine = compile_rules(make_set(rule))
    context = Context(direction="output", tier="free", workflow="chat")
    for text in (
        "a" * 50_000 + "!",
        "ab " * 17_000,
        "x1" * 25_000 + "=",
        "a a " * 12_000,
    ):
        start_s = time.thread_time()
        verdict = engine.check(text, context)
        took_s = time.thread_time() - start_s
        assert verdict.action in {"allow", "replace", "escalate"}
        assert bool(verdict.error) is (verdict.action == "escalate")
        assert took_s < TEXT_BUDGET_S + SCAN_BUDGET_S + 0.2


def test_some_of_them_are_refused_and_some_are_fast() -> None:
    classes = {
        admit(make_pattern(each), make_set()).engine for each in CATASTROPHES[::4]
    }

    assert {"refused", "fast"} <= classes


@pytest.mark.parametrize(
    ("pattern", "engine", "note"),
    [
        (r"b\d", "fast", None),
        (r"\bb\d\b", "fast", "edge of a word"),
        (r"b(?=\d)", "look-around", "look-around"),
        (r"(b)1?\1?1", "look-around", "back-reference"),
        (r"b++\d", "look-around", "possessive"),
        (r"(?>b)\d", "look-around", "atomic"),
        (r"(b)?(?(1)\d|c)1?", "look-around", "condition"),
        (r"(?a)b\d", "look-around", "ASCII"),
        (r"b\p{Nd}", "slow", "nothing"),
        (r"\b保\b", "fast", "without spaces"),
    ],
)
def test_a_rule_is_told_its_class(pattern: str, engine: str, note: str | None) -> None:
    admission = admit(make_pattern(pattern), make_set())

    assert admission.engine == engine
    assert (
        any(note in each for each in admission.notes) if note else not admission.notes
    )
    assert admission.worst_us is not None
    assert admission.worst_us > 0
    assert not admission.is_refused  # as what takes all the time there is would be


@pytest.mark.parametrize(
    ("pattern", "column", "problem"),
    [
        ("ab(c", 5, "missing )"),
        ("a{2", None, ""),
        ("[z-a]", 5, "bad"),
        ("b*", None, "empty"),
    ],
)
def test_a_pattern_that_is_wrong_is_told_where(
    pattern: str, column: int | None, problem: str
) -> None:
    admission = admit(make_pattern(pattern), make_set())

    if problem:
        assert admission.is_refused
        assert problem in admission.problems[0]
    assert admission.column == column


def test_cases_are_run_alone_and_in_the_set() -> None:
    rule = make_pattern(r"b\d", **CASES)
    good = admit(rule, make_set())
    other = make_pattern("so", id="so", must_hit=("so",))
    together = admit(rule, make_set(other, make_pattern("(", id="digits")))

    assert good.cases == ()
    assert [(each.rule, each.where) for each in together.cases] == [
        ("digits", "together")
    ]


def test_a_rule_of_which_nothing_was_evaluated_fails() -> None:
    wanted = [
        (each.wanted, each.where) for each in admit(make_terms(), make_set()).cases
    ]

    assert wanted == [("a case", "alone"), ("a case", "together")]


def test_cases_of_scores_need_a_scorer() -> None:
    rule = make_score(must_hit=("rude",), must_pass=("nice",))

    def score(text: str, names: frozenset[str]) -> dict[str, float]:
        return dict.fromkeys(names, 0.9 if text == "rude" else 0.1)

    assert admit(rule, make_set(), score).cases == ()
    assert {
        "no score toxicity" in each.got for each in admit(rule, make_set()).cases
    } == {True}
    assert admit(rule, make_set()).engine == "model"


@pytest.mark.parametrize("rule", DEALER.rules, ids=lambda rule: rule.id)
def test_the_dealers_rules_are_admitted(rule: object, scorers: BlockingScorers) -> None:
    admission = admit(rule, DEALER, scorers.scoring(DEALER.rules))  # type: ignore[arg-type]

    assert (admission.problems, admission.cases) == ((), ())


MANY = compile_rules(
    make_set(
        *DEALER.rules,
        make_pii(*TYPES, direction="output"),
        make_expression(
            "amount > 10.0 || length > 5 || host == 'x' || language == 'xx'"
        ),
        *(
            make_pattern(each, id=f"c-{at}", mode="enforce")
            for at, each in enumerate(CATASTROPHES)
        ),
    )
)


@pytest.mark.parametrize(
    "unit",
    [
        "a",
        "a1 ",
        "0 ",
        "a@b.cc ",
        "4111 1111 1111 1111 ",
        "€5 off ",
        "保",
        "Ж\u0301 ",
        "tesla ",
        "::1 ",
        "de89 ",
    ],
)
def test_100_kb_are_judged_in_their_time_or_held(unit: str) -> None:
    text = unit * (100_000 // len(unit.encode()))
    context = Context(direction="output", tier="free", workflow="chat")
    start_s = time.thread_time()

    verdict = MANY.check(text, context)

    assert time.thread_time() - start_s < 1.5
    assert verdict.error or verdict.findings


@pytest.mark.parametrize(
    ("policy", "action"), [("hold", "escalate"), ("hit", "replace"), ("pass", "allow")]
)
def test_what_takes_too_long_is_what_its_rule_says(policy: str, action: str) -> None:
    verdict = check("a" * 3_000 + "b", make_pattern("(a|aa)+(?=c)", on_timeout=policy))

    assert (verdict.action, bool(verdict.error)) == (action, policy == "hold")


def test_a_pattern_that_hyperscan_refuses_runs_all_the_same() -> None:
    rules = (
        make_pattern("foo^bar|x1"),
        make_pattern(r"y(?:.{0,99}z){30}\d", id="wide"),
        make_terms(),
    )

    assert plan_pattern("foo^bar|x1") is None
    assert plan_pattern(r"y(?:.{0,99}z){30}\d") is None
    assert check("x1 and Tesla", *rules).findings[0].rule == "digits"
    assert [hit.rule for hit in check("y" + "z " * 40 + "z1", *rules).findings] == [
        "wide"
    ]


def test_threads_share_an_engine() -> None:
    wrong: list[str] = []

    def work(number: int) -> None:
        for turn in range(300):
            text = f"x{number}{turn} Tesla" if turn % 2 else "nothing"
            found = check(text, make_terms()).findings
            if bool(found) is not bool(turn % 2):
                wrong.append(text)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert wrong == []


def test_what_was_compiled_is_loaded_and_what_was_not_is_compiled() -> None:
    rule_set = make_set(make_terms(), make_pattern(r"\bx\d+"))
    stored = compile_rules(rule_set).dump()
    context = Context(direction="output", tier="free", workflow="chat")

    for given in (stored, b"", b"garbage", stored[:32] + b"garbage", stored[:-9]):
        verdict = compile_rules(rule_set, given).check("a Tesla, x17", context)
        assert [hit.said for hit in verdict.findings] == ["Tesla", "x17"]
    assert (
        compile_rules(make_set(make_terms(terms=("audi",))), stored)
        .check("tesla", context)
        .action
        == "allow"
    )


def test_thousands_of_signs_fit_into_the_alphabet() -> None:
    terms = [Term((chr(code),)) for code in range(0x4E00, 0x4E00 + 6_000)]
    scanner = Scanner(terms)
    data = scanner.alphabet.encode("a" + chr(0x4E00 + 5_999))

    assert list(scanner.scan(data)) == [5_999]
