"""Checks for pages and commands: with scores where rules need some, and each of a text once for a run of cases."""

from collections.abc import Iterator

import pytest
from django.test import override_settings

from agents.scorers.blocking import BlockingScorers
from agents.scorers.settings import ScorerSettings
from guardrails import scored
from guardrails.cases import run_cases
from guardrails.context import Context, Score, ScoreError
from guardrails.engine import compile_rules
from guardrails.rules import Rule, RuleSet
from guardrails.verdicts import Verdict
from tests.agents.scorers.endpoint import settings_for
from tests.guardrails.factories import make_masker, make_set, make_terms

POEMS = Rule(
    id="poems",
    name="No poems",
    direction="input",
    kind="topic",
    action="block",
    reply="No.",
    limit=0.6,
    examples=("Write a poem for me.",),
    counter_examples=("A poem is engraved on my key.",),
    must_hit=("Please write me a poem.",),
    must_pass=("My key has a poem on it.", "Where can I park?"),
)
ABOUT = Context(direction="input", tier="free", workflow="chat")
NOWHERE = settings_for("http://127.0.0.1:1/v1")


@pytest.fixture
def away() -> Iterator[None]:
    with override_settings(SCORERS=NOWHERE):
        yield
    scored._scorers.cache_clear()


def check(*rules: Rule) -> Verdict:
    return scored.check(compile_rules(RuleSet(rules)), "A poem, please!", ABOUT)


def test_scores_are_asked_for_where_rules_need_them(
    scorer_settings: ScorerSettings,
) -> None:
    with override_settings(SCORERS=scorer_settings):
        verdict = check(POEMS)

    assert verdict.action == "block"
    assert verdict.findings[0].because == "Write a poem for me."


@pytest.mark.usefixtures("away")
def test_what_cannot_be_scored_does_not_pass() -> None:
    verdict = check(POEMS)

    assert verdict.action == "escalate"
    assert "The embeddings endpoint gave no answer" in verdict.error


@pytest.mark.usefixtures("away")
def test_rules_that_need_no_score_ask_nobody() -> None:
    assert check(make_terms(direction="input", action="block")).error == ""


def test_the_cases_of_rules_are_run_with_scores(scorers: BlockingScorers) -> None:
    assert run_cases(make_set(POEMS), scorers.scoring([POEMS])) == []


def test_a_score_is_asked_for_once_in_a_run(scorers: BlockingScorers) -> None:
    name = "topic:poems"
    score = scorers.scoring([POEMS])

    first = score("A poem", frozenset({name}))
    again = score("A poem", frozenset({name}))

    assert isinstance(first[name], Score)
    assert first[name] is again[name]
    assert score("A poem", frozenset()) == {}


def test_without_scorers_cases_that_need_them_fail() -> None:
    failures = run_cases(make_set(POEMS))

    assert len(failures) == 6
    assert all("no scorer was asked" in failure.got for failure in failures)


def test_blocking_scorers_end_with_their_thread() -> None:
    made = BlockingScorers(NOWHERE, make_masker())
    found = made.scoring([POEMS])("A poem", frozenset({"topic:poems"}))

    made.close()

    assert isinstance(found["topic:poems"], ScoreError)
    assert not made._thread.is_alive()
