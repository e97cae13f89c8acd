"""Sentences around those of the chat: what must happen to each, by meaning.

The demo rule-set's topics were built on one half. The other half was never looked at while that was done; what it came
to is told in docs/demo-model.md, and may only become better.
"""

import json
from pathlib import Path
from typing import Any

from agents.scorers.blocking import BlockingScorers
from guardrails.context import Context
from guardrails.dealer import DEALER
from guardrails.engine import compile_rules
from guardrails.verdicts import PASSING, Verdict

ENGINE = compile_rules(DEALER)
FOLDER = Path(__file__).parent / "sentences"


def sentences(name: str) -> list[dict[str, Any]]:
    lines = (FOLDER / name).read_text().splitlines()
    return [json.loads(line) for line in lines]


def check(scorers: BlockingScorers, sentence: dict[str, Any]) -> Verdict:
    about = Context(direction=sentence["direction"], tier="free", workflow="chat")
    return scorers.check(ENGINE, sentence["text"], about)


def is_right(verdict: Verdict, sentence: dict[str, Any]) -> bool:
    """Whether it was hit as it should be. Another rule may have hit it too, and be stricter."""
    if verdict.error:
        return False
    if sentence["label"] == "allow":
        return verdict.action in PASSING
    wanted = (sentence["label"], sentence.get("team", ""))
    hit = {(each.action, each.team) for each in verdict.findings}
    return verdict.action not in PASSING and wanted in hit


def wrong(scorers: BlockingScorers, name: str) -> dict[str, Verdict]:
    """Return what became of those sentences of a file that came out otherwise than they should."""
    checked = [(each, check(scorers, each)) for each in sentences(name)]
    return {each["text"]: got for each, got in checked if not is_right(got, each)}


def test_what_the_rules_were_built_on_comes_out_right(
    scorers: BlockingScorers,
) -> None:
    found = wrong(scorers, "built_on.jsonl")

    # Whoever reads discounts holds the word that stands without a number.
    assert set(found) == {
        "Discounts are decided by my colleagues, I cannot promise one."
    }, found


def test_the_half_that_was_kept_apart_comes_out_no_worse_than_it_did(
    scorers: BlockingScorers,
) -> None:
    found = wrong(scorers, "held_out.jsonl")

    meant = {each["text"]: each["label"] for each in sentences("held_out.jsonl")}
    taken = [text for text in found if meant[text] == "allow"]
    assert len(found) - len(taken) <= 5, found  # of 18
    assert len(taken) <= 1, found  # of 12
