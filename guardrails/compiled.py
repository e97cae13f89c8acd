"""A rule ready to run, and how the rules of a set share one scanner."""

import hashlib
from collections.abc import Callable, Sequence

from guardrails.checks import check_rule
from guardrails.context import Context, Direction
from guardrails.kinds import KINDS, Fits, Hit, Plan, excuse, make_terms
from guardrails.patterns import Budget
from guardrails.rules import Mode, Rule
from guardrails.scanner import Scanner, Source, UnfitError, fits
from guardrails.subject import Subject

RUNNING: frozenset[Mode] = frozenset({"shadow", "canary", "enforce"})


class CompiledRule:
    """An invalid rule is kept, and fails whenever it should have been run."""

    def __init__(self, rule: Rule, can_scan: Fits) -> None:
        self.rule = rule
        self.problems = " ".join(check_rule(rule))
        self._plan = (
            Plan((), _fail) if self.problems else KINDS[rule.kind](rule, can_scan)
        )
        self._exceptions = () if self.problems else make_terms(rule.exceptions)
        self.is_always_run = not self._plan.sources
        self.scores = self._plan.scores
        self.keys = range(0)
        self._excusing = range(0)

    @property
    def sources(self) -> tuple[Source, ...]:
        return (*self._plan.sources, *self._exceptions)

    def number(self, first: int) -> None:
        """Tell the rule that its sources have the numbers from the first one on."""
        until = first + len(self._plan.sources)
        self.keys = range(first, until)
        self._excusing = range(until, until + len(self._exceptions))

    def covers(self, *, direction: Direction, tier: str, workflow: str) -> bool:
        rule = self.rule
        is_invited = rule.direction == direction and workflow in rule.workflows
        return is_invited and (not rule.tiers or tier in rule.tiers)

    def acts(self, context: Context) -> bool:
        """Whether what it finds counts for this trace, or is only reported."""
        if self.rule.mode != "canary":
            return self.rule.mode == "enforce"
        return _share(context.trace_id, self.rule.id) * 100 < self.rule.percent

    def find(self, subject: Subject, budget: Budget) -> list[Hit]:
        """Raises whatever the rule raises, TimeoutError above all."""
        if self.problems:
            raise ValueError(self.problems)
        is_excused = excuse(subject, self._excusing, budget.tick)
        found = self._plan.find(subject, self.keys, budget, is_excused)
        return list(dict.fromkeys(found))


def compile_all(
    rules: Sequence[Rule], stored: bytes
) -> tuple[tuple[CompiledRule, ...], Scanner]:
    """Takes its time, off the hot path. Only if hyperscan refuses something is each pattern tried by itself."""
    try:
        return _compile(rules, stored, lambda _: True)
    except UnfitError:
        return _compile(rules, stored, fits)


def _compile(
    rules: Sequence[Rule], stored: bytes, can_scan: Callable[[Source], bool]
) -> tuple[tuple[CompiledRule, ...], Scanner]:
    compiled = tuple(CompiledRule(rule, can_scan) for rule in rules)
    scanner = Scanner([source for each in compiled for source in each.sources], stored)
    first = 0
    for each in compiled:
        each.number(first)
        first += len(each.sources)
    return compiled, scanner


def _share(trace_id: str, rule_id: str) -> float:
    """The same for a trace and a rule for ever: 0 to 1, evenly."""
    digest = hashlib.sha256(f"{trace_id} {rule_id}".encode()).digest()
    return int.from_bytes(digest[:8]) / 2**64


def _fail(*_: object) -> list[Hit]:
    return []
