"""Checks a text against a compiled rule-set; whatever goes wrong holds the text for a person."""

from collections.abc import Callable, Iterable
from functools import lru_cache, partial
from itertools import islice

from guardrails.context import judge_score, topic_score
from guardrails.kinds import KINDS, Hit, Subject, compile_exceptions
from guardrails.patterns import Budget
from guardrails.rules import (
    Direction,
    Kind,
    Rule,
    RuleSet,
    check_rule,
    ruleset_hash,
)
from guardrails.text import views
from guardrails.verdicts import Action, Finding, Severity, Verdict

MAX_HITS = 50  # a rule; what is explained must fit into a record

_STRENGTH: dict[Action, int] = {
    "block": 4,
    "escalate": 3,
    "replace": 2,
    "tag": 1,
    "allow": 0,
}
_SEVERITY: dict[Severity, int] = {"high": 2, "medium": 1, "low": 0}


class CompiledRule:
    """A rule ready to run; an invalid one is kept, and fails whenever it should have been run."""

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self._find = (
            _broken(problems) if (problems := check_rule(rule)) else _working(rule)
        )

    def covers(self, *, direction: Direction, tier: str, workflow: str) -> bool:
        rule = self.rule
        is_invited = (
            rule.mode == "enforce"
            and rule.direction == direction
            and workflow in rule.workflows
        )
        return is_invited and (not rule.tiers or tier in rule.tiers)

    def find(self, subject: Subject) -> list[Finding]:
        """Raises whatever the rule raises, TimeoutError above all."""
        hits = dict.fromkeys(islice(self._find(subject), MAX_HITS))
        return [self._finding(subject.text, hit) for hit in hits]

    def _finding(self, text: str, hit: Hit) -> Finding:
        rule = self.rule
        return Finding(
            rule=rule.id,
            name=rule.name,
            version=rule.version,
            kind=rule.kind,
            action=rule.action,
            severity=rule.severity,
            start=hit.start,
            end=hit.end,
            said=text[hit.start : hit.end],
            number=hit.number,
            limit=rule.limit,
            team=rule.team,
        )


class Engine:
    """A rule-set that is ready to check texts; it keeps nothing between two checks."""

    def __init__(self, rule_set: RuleSet) -> None:
        self.ruleset_hash = ruleset_hash(rule_set)
        self._rules = tuple(
            CompiledRule(rule) for rule in rule_set.rules if rule.mode == "enforce"
        )
        self._replies = {rule.id: rule.reply for rule in rule_set.rules}
        self._passed = Verdict(action="allow", ruleset_hash=self.ruleset_hash)
        self._covering = lru_cache(maxsize=256)(self._find_covering)

    def rules_for(
        self, *, direction: Direction, tier: str, workflow: str
    ) -> tuple[CompiledRule, ...]:
        return self._covering(direction, tier, workflow)

    def needs(self, direction: Direction, tier: str, workflow: str) -> frozenset[str]:
        """Name the scores that must be in the context of a text before it is judged."""
        rules = self._covering(direction, tier, workflow)
        return frozenset(name for rule in rules for name in _scores_of(rule.rule))

    def _find_covering(
        self, direction: Direction, tier: str, workflow: str
    ) -> tuple[CompiledRule, ...]:
        return tuple(
            rule
            for rule in self._rules
            if rule.covers(direction=direction, tier=tier, workflow=workflow)
        )

    def check(
        self, text: str, *, direction: Direction, tier: str, workflow: str
    ) -> Verdict:
        rules = self._covering(direction, tier, workflow)
        if not rules:
            return self._passed
        subject = Subject(text, views(text))
        findings: list[Finding] = []
        errors: list[str] = []
        for rule in rules:
            try:
                findings += rule.find(subject)
            except Exception as error:  # reported in the verdict, which holds the text
                errors.append(f"{rule.rule.id}: {error}")
        if not findings and not errors:
            return self._passed
        return self._decide(sorted(findings, key=_place), "; ".join(errors))

    def _decide(self, findings: list[Finding], error: str) -> Verdict:
        winner = min(findings, key=_rank, default=None)
        action: Action = winner.action if winner else "allow"
        if error and action != "block":
            winner, action = None, "escalate"
        team = (winner and winner.team) or "general"
        return Verdict(
            action=action,
            findings=tuple(findings),
            ruleset_hash=self.ruleset_hash,
            reply=self._replies[winner.rule] if winner else "",
            team=team if action == "escalate" else "",
            error=error,
        )


def _scores_of(rule: Rule) -> tuple[str, ...]:
    names: dict[Kind, str] = {
        "score": rule.score,
        "topic": topic_score(rule.id),
        "judge": judge_score(rule.id),
    }
    return (names[rule.kind],) if rule.kind in names else ()


def compile_rules(rule_set: RuleSet) -> Engine:
    """Never refuses: a rule-set that cannot be enforced must hold what it covers, not stop the guard."""
    return Engine(rule_set)


def _working(rule: Rule) -> Callable[[Subject], Iterable[Hit]]:
    find, excuse = KINDS[rule.kind](rule), compile_exceptions(rule)

    def run(subject: Subject) -> Iterable[Hit]:
        budget = Budget()
        return find(subject, budget, excuse(subject, budget))

    return run


def _broken(problems: list[str]) -> Callable[[Subject], Iterable[Hit]]:
    return partial(_fail, " ".join(problems))


def _fail(reason: str, _: Subject) -> Iterable[Hit]:
    raise ValueError(reason)


def _place(finding: Finding) -> tuple[int, int, str]:
    return finding.start, finding.end, finding.rule


def _rank(finding: Finding) -> tuple[int, int, str, int]:
    return (
        -_STRENGTH[finding.action],
        -_SEVERITY[finding.severity],
        finding.rule,
        finding.start,
    )
