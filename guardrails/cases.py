"""Runs the test cases that rules carry: what each must hit and must let pass."""

from collections.abc import Iterator
from itertools import product
from typing import Literal, NamedTuple

import msgspec

from guardrails.engine import Engine, compile_rules
from guardrails.rules import Rule, RuleSet
from guardrails.verdicts import Verdict


class CaseFailure(msgspec.Struct, frozen=True):
    """One case that failed, or a rule without any that was evaluated (wanted "a case", no text)."""

    rule: str
    text: str
    wanted: Literal["hit", "pass", "a case"]
    where: Literal["alone", "together"]
    got: str


class _Bench(NamedTuple):
    rule: Rule
    engine: Engine
    where: Literal["alone", "together"]
    tiers: tuple[str, ...]


def run_cases(rule_set: RuleSet) -> list[CaseFailure]:
    """Every case of every rule, by itself and in the whole set, for each tier and workflow that the rule covers.

    Drafts are tried alone, rules that are off not at all. An enforced rule of which no case was evaluated fails.
    """
    together = compile_rules(rule_set)
    tiers = tuple(sorted({tier for rule in rule_set.rules for tier in rule.tiers})) or (
        "free",
    )
    failures: list[CaseFailure] = []
    for rule in rule_set.rules:
        covered = rule.tiers or tiers
        if rule.mode != "off":
            alone = compile_rules(
                RuleSet((msgspec.structs.replace(rule, mode="enforce"),))
            )
            failures += _run(_Bench(rule, alone, "alone", covered))
        if rule.mode == "enforce":
            failures += _run(_Bench(rule, together, "together", covered))
    return failures


def _run(bench: _Bench) -> list[CaseFailure]:
    rule = bench.rule
    evaluated = 0
    failures: list[CaseFailure] = []
    for tier, workflow in product(bench.tiers, rule.workflows):
        running = bench.engine.rules_for(
            direction=rule.direction, tier=tier, workflow=workflow
        )
        if rule.id in {compiled.rule.id for compiled in running}:
            evaluated += len(rule.must_hit) + len(rule.must_pass)
            failures += _failures(bench, tier, workflow)
    if not evaluated and rule.mode == "enforce":
        failures.append(
            CaseFailure(rule.id, "", "a case", bench.where, "no case was evaluated")
        )
    return failures


def _failures(bench: _Bench, tier: str, workflow: str) -> Iterator[CaseFailure]:
    rule = bench.rule
    for text in rule.must_hit:
        verdict = bench.engine.check(
            text, direction=rule.direction, tier=tier, workflow=workflow
        )
        if verdict.error or rule.id not in {
            finding.rule for finding in verdict.findings
        }:
            yield CaseFailure(rule.id, text, "hit", bench.where, _tell(verdict))
    for text in rule.must_pass:
        verdict = bench.engine.check(
            text, direction=rule.direction, tier=tier, workflow=workflow
        )
        if (
            verdict.error
            or verdict.action not in {"allow", "tag"}
            or _is_hit(rule, verdict)
        ):
            yield CaseFailure(rule.id, text, "pass", bench.where, _tell(verdict))


def _is_hit(rule: Rule, verdict: Verdict) -> bool:
    return rule.id in {finding.rule for finding in verdict.findings}


def _tell(verdict: Verdict) -> str:
    hits = ", ".join(
        f"{finding.rule} at “{finding.said}”" for finding in verdict.findings
    )
    return verdict.error or f"{verdict.action}: {hits or 'nothing hit'}"
