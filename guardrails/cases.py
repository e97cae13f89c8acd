"""Runs the test cases that rules carry: what each must hit and must let pass."""

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from itertools import product
from typing import Literal, NamedTuple

import msgspec

from guardrails.context import AnyScore, Context, Direction, ScoreError
from guardrails.engine import Engine, compile_rules
from guardrails.rules import Rule, RuleSet
from guardrails.verdicts import PASSING, Verdict

Scores = Mapping[str, AnyScore]
Score = Callable[[str, frozenset[str]], Scores]


class CaseFailure(msgspec.Struct, frozen=True):
    """One case that failed, or a rule without any that was evaluated (wanted "a case", no text).

    places: the tiers in which it came out so, with the workflow where there are several; empty means all.
    """

    rule: str
    text: str
    wanted: Literal["hit", "pass", "a case"]
    where: Literal["alone", "together"]
    got: str
    places: tuple[str, ...] = ()


class _Bench(NamedTuple):
    """runs: the ids of the rules that the engine runs in a direction, tier and workflow."""

    rule: Rule
    engine: Engine
    runs: Callable[[Direction, str, str], frozenset[str]]
    where: Literal["alone", "together"]
    tiers: tuple[str, ...]
    score: Score


def no_scores(_: str, names: frozenset[str]) -> Scores:
    """Without a scorer, what needs one is held, so its cases fail."""
    return dict.fromkeys(names, ScoreError("no scorer was asked"))


def run_cases(
    rule_set: RuleSet, score: Score = no_scores, together: Engine | None = None
) -> list[CaseFailure]:
    """Every case of every rule, by itself and in the whole set, for each tier and workflow that the rule covers.

    Drafts are tried alone, rules that are off not at all. A rule that acts, of which no case was evaluated, fails.
    score: asks for the scores of a text that rules need, by name. together: the rule-set, if it is compiled.
    """
    together = together or compile_rules(rule_set)
    runs, every = _running(together), _every_tier(rule_set)
    failures: list[CaseFailure] = []
    for rule in rule_set.rules:
        tiers = rule.tiers or every
        if rule.mode != "off":
            failures += _run(_alone(rule, tiers, score))
        if rule.mode not in {"off", "draft"}:
            failures += _run(_Bench(rule, together, runs, "together", tiers, score))
    return failures


def run_cases_of(
    rule: Rule, rule_set: RuleSet, score: Score = no_scores
) -> list[CaseFailure]:
    """The cases of one rule, alone and as if it were enforced in the set, in the place of its earlier version."""
    enforced = msgspec.structs.replace(rule, mode="enforce")
    others = (each for each in rule_set.rules if each.id != rule.id)
    whole = RuleSet((*others, enforced))
    tiers, engine = rule.tiers or _every_tier(whole), compile_rules(whole)
    bench = _Bench(enforced, engine, _running(engine), "together", tiers, score)
    return [*_run(_alone(enforced, tiers, score)), *_run(bench)]


def _alone(rule: Rule, tiers: tuple[str, ...], score: Score) -> _Bench:
    engine = compile_rules(RuleSet((msgspec.structs.replace(rule, mode="enforce"),)))
    return _Bench(rule, engine, _running(engine), "alone", tiers, score)


def _every_tier(rule_set: RuleSet) -> tuple[str, ...]:
    every = {tier for each in rule_set.rules for tier in each.tiers}
    return tuple(sorted(every)) or ("free",)


def _running(engine: Engine) -> Callable[[Direction, str, str], frozenset[str]]:
    """Looked up once for all rules: a set may have thousands."""

    @cache
    def running(direction: Direction, tier: str, workflow: str) -> frozenset[str]:
        found = engine.rules_for(direction=direction, tier=tier, workflow=workflow)
        return frozenset(compiled.rule.id for compiled in found)

    return running


def _run(bench: _Bench) -> list[CaseFailure]:
    rule = bench.rule
    tried: list[str] = []
    failed: dict[CaseFailure, list[str]] = {}
    for tier, workflow in product(bench.tiers, rule.workflows):
        if rule.id not in bench.runs(rule.direction, tier, workflow):
            continue
        place = tier if len(rule.workflows) == 1 else f"{tier} in {workflow}"
        tried.append(place)
        for failure in _failures(bench, tier, workflow):
            failed.setdefault(failure, []).append(place)
    if not (tried and rule.must_hit + rule.must_pass) and rule.mode != "draft":
        nothing = "no case was evaluated"
        return [CaseFailure(rule.id, "", "a case", bench.where, nothing)]
    return [
        msgspec.structs.replace(
            failure, places=() if places == tried else tuple(places)
        )
        for failure, places in failed.items()
    ]


def _failures(bench: _Bench, tier: str, workflow: str) -> Iterator[CaseFailure]:
    rule = bench.rule
    for text in dict.fromkeys(rule.must_hit):
        verdict = _check(bench, text, tier, workflow)
        if verdict.error or verdict.shadow_error or not _is_hit(rule, verdict):
            yield CaseFailure(rule.id, text, "hit", bench.where, _tell(verdict))
    for text in dict.fromkeys(rule.must_pass):
        verdict = _check(bench, text, tier, workflow)
        is_let = verdict.action in PASSING and not (verdict.error or verdict.redacted)
        if not is_let or verdict.shadow_error or _is_hit(rule, verdict):
            yield CaseFailure(rule.id, text, "pass", bench.where, _tell(verdict))


def _check(bench: _Bench, text: str, tier: str, workflow: str) -> Verdict:
    direction = bench.rule.direction
    names = bench.engine.needs(direction, tier, workflow)
    context = Context(
        direction=direction,
        tier=tier,
        workflow=workflow,
        scores=bench.score(text, names) if names else {},
    )
    return bench.engine.check(text, context)


def _is_hit(rule: Rule, verdict: Verdict) -> bool:
    found = (*verdict.findings, *verdict.shadow)
    return rule.id in {finding.rule for finding in found}


def _tell(verdict: Verdict) -> str:
    found = (*verdict.findings, *verdict.shadow)
    hits = ", ".join(f"{finding.rule} at “{finding.said}”" for finding in found)
    error = verdict.error or verdict.shadow_error
    return error or f"{verdict.action}: {hits or 'nothing hit'}"
