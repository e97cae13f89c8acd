import pytest

from guardrails.checks import check_rule
from guardrails.context import ScoreError, topic_score
from guardrails.engine import compile_rules
from guardrails.expressions import TYPES, Expression, ExpressionError
from guardrails.rules import Rule
from guardrails.subject import Subject
from guardrails.verdicts import why
from tests.guardrails.factories import (
    check,
    make_expression,
    make_score,
    make_set,
    make_threshold,
    said,
)

LANGUAGE = "language != 'en' && language != ''"


@pytest.mark.parametrize(
    ("expression", "text", "found"),
    [
        ("discount_percent > 5.0", "3 % off, or even 10 % off.", [("10 %", 10, 5)]),
        ("discount_percent > 5.0", "6 % off. Or 10 % off.", [("6 %", 6, 5), ("10 %", 10, 5)]),
        ("discount_percent > 5.0", "a huge discount", [("discount", None, 5)]),
        ("amount > 1000.0 && currency == 'EUR'", "€2,000, not $3,000", [("€2,000", 2000, 1000)]),
        ("amount >= 2000.0", "2.000 € and 1,999.99 CHF", [("2.000 €", 2000, 2000)]),
        ("url.startsWith('http:')", "See http://a.example/x, please", [("http://a.example/x", None, None)]),
        ("!(host in ['a.example'])", "www.a.example or https://b.example", [("https://b.example", None, None)]),
        (LANGUAGE, "Сколько стоит новая машина?", [("", None, None)]),
        (LANGUAGE, "How much is the new car, please?", []),
        ("length > 10", "eleven char", [("", 11, 10)]),
        ("length > 11", "eleven char", []),
        ("tier == 'free' && workflow == 'chat' && direction == 'output'", "x", [("", None, None)]),
        ("discount_percent > 5.0", "The battery is at 25 %.", []),
        ("discount_percent > 5.0 || length > 3", "abcd", [("", 4, None)]),
    ],
)  # fmt: skip
def test_each_value_of_a_text_is_judged(
    expression: str, text: str, found: list[tuple[str, float | None, float | None]]
) -> None:
    verdict = check(text, make_expression(expression))

    assert not verdict.error
    told = [(hit.said, hit.number, hit.limit) for hit in verdict.findings]
    assert told == found


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://b.example:8080/x", "b.example"),
        ("https://a.example@b.example/x", "b.example"),
        ("https://a.example:pw@b.example/", "b.example"),
        ("https://b.example\\@a.example/", "b.example"),
        ("www.b.example", "b.example"),
        ("http://[::1]/x", "::1"),
    ],
)
def test_a_host_is_where_a_browser_would_go(url: str, host: str) -> None:
    assert check(f"See {url} now", make_expression(f"host == '{host}'")).findings


def test_an_address_that_nobody_can_read_is_on_no_list() -> None:
    rule = make_expression("!(host in ['a.example'])")

    assert said(check("See http://[a.example now", rule)) == ["http://[a.example"]


def test_what_cannot_be_read_trips_only_what_depends_on_it() -> None:
    rule = make_expression("tier == 'pro' && discount_percent > 5.0")

    assert check("a huge discount", rule).action == "allow"
    assert check("a huge discount", rule, tier="pro").action == "escalate"


def test_a_threshold_is_an_expression_in_two_boxes() -> None:
    threshold = check("Take 7 % off or get a discount.", make_threshold())
    expression = check(
        "Take 7 % off or get a discount.",
        make_expression("discount_percent > limit", limit=5, team="discount"),
    )

    assert [(f.said, f.number, f.limit) for f in threshold.findings] == [
        (f.said, f.number, f.limit) for f in expression.findings
    ]
    assert why(threshold) == "Discounts: 7 over 5, “7 %”"


def test_an_exception_excuses_a_value_where_it_stands() -> None:
    rule = make_expression("amount > 10.0", exceptions=("€20 voucher",))

    assert said(check("A €20 voucher and €30", rule)) == ["€30"]


@pytest.mark.parametrize(
    ("expression", "line", "column", "what"),
    [
        ("discount_percent > 5", 1, 18, "write the number with a point, such as 5.0"),
        ("length > 5.0", 1, 8, "write the number without a point"),
        ("tier == 'a' ||\n foo > 1.0", 2, 2, "there is no field foo"),
        ("tier ==", 1, 8, "Syntax error"),
        ("length", 1, 1, "it must be true or false, and is of the type int"),
        ("amount > limit", 1, 1, "it reads limit, and the rule has none"),
        ("true ||\nscores.size() > 0", 2, 1, "name the score"),
        ("scores[tier] > 0.5", 1, 1, "name the score"),
        ("'a' == '" + "a" * 2_000 + "'", 1, 1, "longer than 2,000 characters"),
    ],
)
def test_an_expression_that_is_not_right_says_where(
    expression: str, line: int, column: int, what: str
) -> None:
    with pytest.raises(ExpressionError) as raised:
        Expression(expression)

    assert (raised.value.line, raised.value.column) == (line, column)
    assert what in raised.value.what
    [told] = check_rule(make_expression(expression))
    assert f"line {line}, column {column}" in told


def test_an_error_while_it_runs_holds() -> None:
    verdict = check("abc", make_expression("10 / (length - 3) > 1"))

    assert (verdict.action, verdict.error) == ("escalate", "expression: divide by zero")


def test_too_many_values_hold() -> None:
    rule = make_expression("amount > 1.0 && host == 'x' && discount_percent > 99.0")
    text = "€2 off €20, see http://a.example. " * 40

    assert "too many values" in check(text, rule).error


def test_what_takes_too_long_to_read_holds() -> None:
    verdict = check("5 % off " * 12_000, make_threshold())

    assert verdict.action == "escalate"
    assert verdict.error.endswith("is used up")


def test_only_what_is_read_is_extracted(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(_: Subject) -> str:
        raise AssertionError

    monkeypatch.setitem(__import__("guardrails.fields").fields.ONE, "language", never)

    assert check("abc", make_expression("length > 2")).action == "escalate"
    assert check("abc", make_expression("language == 'en'")).error


def test_every_type_of_a_field_has_a_test() -> None:
    assert set(TYPES) == {
        "discount_percent", "amount", "currency", "url", "host", "language", "length", "confidence",
        "tier", "workflow", "direction", "scores", "limit",
    }  # fmt: skip


TOXIC = make_expression("scores.toxicity > 0.7")


@pytest.mark.parametrize("rule", [make_score(), TOXIC], ids=["score", "expression"])
@pytest.mark.parametrize(
    ("score", "action"), [(0.69, "allow"), (0.7, "allow"), (0.71, "escalate")]
)
def test_a_score_must_exceed_its_limit(rule: Rule, score: float, action: str) -> None:
    verdict = check("x", rule, scores={"toxicity": score})

    assert (verdict.action, verdict.error) == (action, "")
    if verdict.findings:
        [finding] = verdict.findings
        assert (finding.number, finding.limit) == (0.71, 0.7)
        assert why(verdict) == f"{rule.name}: 0.71 over 0.7"


def test_what_an_allow_list_hits_is_told_to_be_under_its_limit() -> None:
    only = make_score(kind="topic", score="", examples=("A car.",), is_allow_list=True)

    verdict = check("x", only, scores={topic_score(only.id): 0.2})

    assert why(verdict) == "Toxic: 0.2 under 0.7"


def test_a_number_that_is_its_limit_is_told_to_be_at_it() -> None:
    verdict = check("5 % off", make_expression("discount_percent >= limit", limit=5))

    assert verdict.findings[0].side == "at"


@pytest.mark.parametrize("rule", [make_score(), TOXIC], ids=["score", "expression"])
@pytest.mark.parametrize(
    "scores",
    [
        {},
        {"toxicity": ScoreError("it took longer than 2 s")},
        {"toxicity": float("nan")},
        {"toxicity": float("inf")},
        {"toxicity": 7.0},
        {"toxicity": "very"},
        {"toxicity": True},
        {"toxicity": None},
    ],
)
def test_without_a_score_or_with_garbage_the_text_is_held(
    rule: Rule, scores: dict[str, object]
) -> None:
    verdict = check("x", rule, scores=scores)

    assert (verdict.action, verdict.team) == ("escalate", "general")
    assert "score" in verdict.error


def test_the_model_that_does_not_say_how_sure_it_is_is_held() -> None:
    rule = make_expression("confidence < 0.5")

    assert check("x", rule, confidence=0.6).action == "allow"
    assert check("x", rule, confidence=0.4).findings[0].number == 0.4
    for given in (None, float("nan"), 60.0):
        assert "how sure" in check("x", rule, confidence=given).error


def test_topics_and_judges_read_scores_of_their_own() -> None:
    topic = make_score(
        id="poems", kind="topic", score="", examples=("A poem",), limit=0.5
    )
    judge = make_score(
        id="rude", kind="judge", score="", instruction="Rude?", limit=0.5
    )
    scores = {"topic:poems": 0.6, "judge:rude": 0.4}

    assert check_rule(topic) == check_rule(judge) == []
    verdict = check("x", topic, judge, scores=scores)

    assert [(f.rule, f.kind, f.number) for f in verdict.findings] == [
        ("poems", "topic", 0.6)
    ]


def test_an_engine_names_the_scores_it_needs() -> None:
    engine = compile_rules(
        make_set(
            make_score(tiers=("free",)),
            make_score(id="poems", kind="topic", examples=("A poem",), mode="shadow"),
            make_score(id="rude", kind="judge", instruction="Rude?", mode="off"),
            make_expression("scores.insult > 0.5 || scores['x-y'] > 0.5"),
        )
    )

    assert engine.needs("output", "free", "chat") == {
        "toxicity",
        "topic:poems",
        "insult",
        "x-y",
    }
    assert engine.needs("output", "pro", "chat") == {"topic:poems", "insult", "x-y"}
    assert engine.needs("input", "free", "chat") == set()


@pytest.mark.parametrize("action", ["block", "redact", "allow", "replace"])
def test_a_judge_only_advises(action: str) -> None:
    rule = make_score(kind="judge", instruction="Rude?", action=action, reply="No.")

    assert any("advises" in problem for problem in check_rule(rule))
