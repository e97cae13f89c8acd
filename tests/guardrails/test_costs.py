"""What rules cost is counted where they run, and adds up over workers."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardrails import costs
from guardrails.context import Context
from guardrails.costs import EVERY, MOST_TOLD, Costs, costs_of
from guardrails.engine import compile_rules
from tests.guardrails.factories import make_pattern, make_set, make_terms

ABOUT = Context(direction="output", tier="free", workflow="chat")


def as_json(told: Costs) -> dict[str, dict[str, int]]:
    return dict(json.loads(json.dumps(told.told())))


@given(st.lists(st.integers(1, 10**9), min_size=1, max_size=300), st.data())
def test_quantiles_are_right_within_a_bucket_however_they_were_told(
    took_ns: list[int], data: st.DataObject
) -> None:
    workers = [Costs(), Costs()]
    for each in took_ns:
        data.draw(st.sampled_from(workers)).note("slow", each)

    cost = costs_of(map(as_json, workers))["slow"]

    took_ns.sort()
    assert cost.texts == len(took_ns)
    for told_us, share in ((cost.p50_us, 0.5), (cost.p99_us, 0.99)):
        true_us = took_ns[-(-int(share * 100 * len(took_ns)) // 100) - 1] / 1000
        assert true_us / 1.2 < told_us < true_us * 1.2


def test_an_engine_times_one_check_in_so_many_of_rules_that_had_to_look() -> None:
    engine = compile_rules(
        make_set(make_terms(), make_pattern(r"\d+", mode="shadow"), make_terms(id="x"))
    )
    for _ in range(EVERY * 3):
        engine.check("Tesla, built in 2024", ABOUT)
        engine.check("nothing of it", ABOUT)

    found = costs_of([as_json(engine.costs)])
    assert {rule: cost.texts for rule, cost in found.items()} == {
        "brands": 3,
        "digits": 3,
        "x": 3,
    }
    assert all(0 < cost.p50_us <= cost.p99_us < 100_000 for cost in found.values())


def test_a_rule_that_fails_is_timed_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(costs, "EVERY", 1)
    engine = compile_rules(make_set(make_pattern("(a|aa)+(?=c)")))

    verdict = engine.check("a" * 3_000 + "b", ABOUT)

    assert verdict.error
    assert costs_of([as_json(engine.costs)])["digits"].p50_us > 10_000


def test_of_thousands_the_dearest_are_told() -> None:
    told = Costs()
    for number in range(MOST_TOLD + 50):
        told.note(f"rule-{number}", 1_000 * (number + 1))

    assert len(told.told()) == MOST_TOLD
    assert "rule-0" not in told.told()
    assert costs_of([]) == {}
