"""A text is scored once for both sets, and each set sees the scores of its own rules."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from controlplane.backtests.judging import AT_ONCE, Pair, Sides
from guardrails.context import AnyScore
from guardrails.engine import compile_rules
from guardrails.rules import Rule
from tests.guardrails.factories import make_pii, make_score, make_set
from tests.guardrails.test_backtest import make_text

TOPIC = Rule(
    id="poems",
    name="Poems",
    direction="output",
    kind="topic",
    action="escalate",
    team="general",
    limit=0.5,
    examples=("A poem.",),
)


class CountingScorer:
    """Says 0.9 of a topic that has cars among its examples, and of toxicity 0.8."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, frozenset[str]]] = []
        self.at_once = self.most = 0

    async def scores(
        self, text: str, names: Iterable[str], rules: Sequence[Rule]
    ) -> Mapping[str, AnyScore]:
        self.asked.append((text, frozenset(names)))
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        await asyncio.sleep(0)
        self.at_once -= 1
        cars = {f"topic:{rule.id}" for rule in rules if "A car." in rule.examples}
        return {
            n: 0.8 if n == "toxicity" else 0.9 * (n in cars) for n in self.asked[-1][1]
        }


def judge(
    live: list[Rule], draft: list[Rule], *texts: str, **about: Any
) -> tuple[CountingScorer, list[Pair]]:
    sides = Sides(compile_rules(make_set(*live)), compile_rules(make_set(*draft)))
    scorer = CountingScorer()
    given = [make_text(text, **about) for text in texts]
    assert all(sides.needs_scores(text) for text in given)
    return scorer, asyncio.run(sides.judging(given)(scorer))


def test_a_text_is_asked_about_once_for_all_that_either_set_needs() -> None:
    scorer, [(live, draft)] = judge([TOPIC], [TOPIC, make_score()], "Hello")

    assert scorer.asked == [("Hello", frozenset({"topic:poems", "toxicity"}))]
    assert (live.action, draft.action) == ("allow", "escalate")


def test_a_rule_that_was_changed_has_a_score_of_its_own() -> None:
    changed = msgspec.structs.replace(TOPIC, examples=("A car.",))

    scorer, [(live, draft)] = judge([TOPIC], [changed], "Hello")

    assert [len(names) for _, names in scorer.asked] == [2]
    assert (live.action, draft.action) == ("allow", "escalate")
    assert draft.findings[0].rule == "poems"


def test_a_text_is_shown_to_models_as_each_set_redacts_it() -> None:
    """What a set would not show, is not shown for it."""
    masks = make_pii("card", direction="output")
    text = "4111 1111 1111 1111"

    scorer, _ = judge([make_score()], [make_score(), masks], text)

    shown = [asked for asked, _ in scorer.asked]
    assert shown[0] == text
    assert len(shown) == 2
    assert "4111" not in shown[1]


def test_live_traffic_finds_room_at_the_scorers() -> None:
    scorer, pairs = judge([], [make_score()], *(f"text {n}" for n in range(50)))

    assert len(pairs) == 50
    assert scorer.most == AT_ONCE
