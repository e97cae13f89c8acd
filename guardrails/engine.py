"""Checks a text against a compiled rule-set; whatever goes wrong holds the text for a person."""

import time
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache, partial
from typing import NamedTuple

import msgspec

from guardrails.compiled import RUNNING, CompiledRule, compile_all
from guardrails.context import Context, Direction
from guardrails.costs import Costs
from guardrails.kinds import Hit
from guardrails.patterns import BUDGET_S, TEXT_BUDGET_S, Budget
from guardrails.redaction import Mark, StubbornError, placeholder, redact
from guardrails.rules import RuleAction, RuleSet, ruleset_hash
from guardrails.scanner import FloodError
from guardrails.subject import Subject, read
from guardrails.verdicts import Action, Finding, Severity, Verdict

MAX_HITS = 50  # a rule; what is explained must fit into a record
_MOST_ERRORS = 5  # told of one text

_STRENGTH: dict[RuleAction, int] = {
    "block": 5,
    "escalate": 4,
    "replace": 3,
    "redact": 2,
    "tag": 1,
    "allow": 0,
}
_SEVERITY: dict[Severity, int] = {"high": 2, "medium": 1, "low": 0}


class _Covering:
    """The rules of one direction, tier and workflow."""

    def __init__(self, rules: Iterable[CompiledRule]) -> None:
        self.rules = tuple(rules)
        self.always = [at for at, rule in enumerate(self.rules) if rule.is_always_run]
        self._owners = {
            key: at for at, rule in enumerate(self.rules) for key in rule.keys
        }

    def due(self, subject: Subject) -> list[CompiledRule]:
        """Those that have something to look at, in their order."""
        owners, found = self._owners, set(self.always)
        for view in subject.views:
            found.update(owners[key] for key in view.found if key in owners)
        return [self.rules[at] for at in sorted(found)]


class _Judged(NamedTuple):
    """What some rules came to on one text."""

    findings: list[Finding]
    errors: list[str]
    marks: list[Mark]


class Engine:
    """A rule-set that is ready to check texts, in many threads; it keeps nothing between two checks but what they cost."""

    def __init__(self, rule_set: RuleSet, stored: bytes = b"") -> None:
        """stored: what `dump` gave for the same rule-set, which saves compiling."""
        self.ruleset_hash = ruleset_hash(rule_set)
        running = [rule for rule in rule_set.rules if rule.mode in RUNNING]
        running.sort(key=lambda rule: rule.id)
        self._rules, self._scanner = compile_all(running, stored)
        self._ranks = {
            rule.id: (
                -_STRENGTH[rule.action],
                -rule.priority,
                -_SEVERITY[rule.severity],
                rule.id,
            )
            for rule in running
        }
        self._replies = {rule.id: rule.reply for rule in running}
        self.rules = tuple(running)
        self.costs = Costs()
        self._passed = Verdict(action="allow", ruleset_hash=self.ruleset_hash)
        self._covering = lru_cache(maxsize=256)(self._find_covering)

    def dump(self) -> bytes:
        """The compiled form, for other processes on machines like this one."""
        return self._scanner.dump()

    def rules_for(
        self, *, direction: Direction, tier: str, workflow: str
    ) -> tuple[CompiledRule, ...]:
        return self._covering(direction, tier, workflow).rules

    def needs(self, direction: Direction, tier: str, workflow: str) -> frozenset[str]:
        """Name the scores that must be in the context of a text before it is judged."""
        rules = self._covering(direction, tier, workflow).rules
        return frozenset(name for rule in rules for name in rule.scores)

    def _find_covering(
        self, direction: Direction, tier: str, workflow: str
    ) -> _Covering:
        return _Covering(
            rule
            for rule in self._rules
            if rule.covers(direction=direction, tier=tier, workflow=workflow)
        )

    def check(self, text: str, context: Context, *, scored: bool = True) -> Verdict:
        """scored: whether rules that read scores take part."""
        covering = self._covering(context.direction, context.tier, context.workflow)
        if not covering.rules:
            return self._passed
        try:
            has_to = bool(covering.always)
            subject = read(text, context, self._scanner, has_to=has_to)
        except FloodError as error:
            return self._decide(_Judged([], [str(error)], []))
        if subject is None or not (due := covering.due(subject)):
            return self._passed
        if not scored:
            due = [rule for rule in due if not rule.scores]
        return self._judge(subject, due)

    def _judge(self, subject: Subject, rules: Sequence[CompiledRule]) -> Verdict:
        """Rules that act come first: those that only watch get the time that is left."""
        budget = Budget(TEXT_BUDGET_S)
        costs = self.costs if self.costs.is_due() else None
        acting = [rule for rule in rules if rule.acts(subject.context)]
        judged = _run(subject, acting, budget, costs)
        verdict = self._decide(judged)
        if judged.marks:
            verdict = self._redact(verdict, subject.text, subject.context)
        if len(acting) == len(rules):
            return verdict
        watching = [rule for rule in rules if rule not in acting]
        watched = _run(subject, watching, budget, costs)
        return msgspec.structs.replace(
            verdict,
            shadow=tuple(sorted(watched.findings, key=_place)),
            shadow_error=_tell(watched.errors),
        )

    def _decide(self, judged: _Judged) -> Verdict:
        if not judged.findings and not judged.errors:
            return self._passed
        findings = sorted(judged.findings, key=_place)
        winner = min(findings, key=self._rank, default=None)
        action: Action = winner.action if winner else "allow"
        if judged.errors and action != "block":
            winner, action = None, "escalate"
        team = (winner and winner.team) or "general"
        return Verdict(
            action=action,
            findings=tuple(findings),
            ruleset_hash=self.ruleset_hash,
            reply=self._replies[winner.rule] if winner else "",
            team=team if action == "escalate" else "",
            error=_tell(judged.errors),
        )

    def _redact(self, verdict: Verdict, text: str, context: Context) -> Verdict:
        """What cannot be redacted is held, unless it is blocked anyway."""
        covering = self._covering(context.direction, context.tier, context.workflow)

        def find(text: str) -> Iterable[Mark]:
            subject = read(text, context, self._scanner)
            assert subject is not None  # it has to be read
            rules = [
                rule
                for rule in covering.due(subject)
                if rule.rule.action == "redact" and rule.acts(context)
            ]
            judged = _run(subject, rules, Budget(TEXT_BUDGET_S))
            if judged.errors:
                raise StubbornError(_tell(judged.errors))
            return judged.marks

        try:
            redacted = redact(text, find)
        except (FloodError, StubbornError) as error:
            return self._hold(verdict, str(error))
        return msgspec.structs.replace(verdict, redacted=redacted)

    def _hold(self, verdict: Verdict, error: str) -> Verdict:
        error = _tell([error for error in (verdict.error, error) if error])
        if verdict.action == "block":
            return msgspec.structs.replace(verdict, error=error)
        return msgspec.structs.replace(
            verdict, action="escalate", team="general", reply="", error=error
        )

    def _rank(self, finding: Finding) -> tuple[tuple[int, int, int, str], int]:
        return self._ranks[finding.rule], finding.start


def compile_rules(rule_set: RuleSet, stored: bytes = b"") -> Engine:
    """Never refuses: a rule-set that cannot be enforced must hold what it covers, not stop the guard."""
    return Engine(rule_set, stored)


def _run(
    subject: Subject,
    rules: Iterable[CompiledRule],
    budget: Budget,
    costs: Costs | None = None,
) -> _Judged:
    """Of each rule either all that it finds, or an error. costs: is told how long each took."""
    judged = _Judged([], [], [])
    find = partial(_find_timed, costs) if costs else _find
    for rule in rules:
        try:
            hits = find(rule, subject, Budget(BUDGET_S, within=budget))
        except Exception as error:  # reported in the verdict, which holds the text
            judged.errors.append(f"{rule.rule.id}: {error}")
        else:
            judged.findings.extend(_findings(subject.text, rule, hits[:MAX_HITS]))
            if rule.rule.action == "redact":
                judged.marks.extend(Mark(h.start, h.end, h.label) for h in hits)
    return judged


def _find(rule: CompiledRule, subject: Subject, budget: Budget) -> list[Hit]:
    return rule.find(subject, budget)


def _find_timed(
    costs: Costs, rule: CompiledRule, subject: Subject, budget: Budget
) -> list[Hit]:
    started_ns = time.thread_time_ns()
    try:
        return rule.find(subject, budget)
    finally:
        costs.note(rule.rule.id, time.thread_time_ns() - started_ns)


def _findings(text: str, rule: CompiledRule, hits: Iterable[Hit]) -> Iterator[Finding]:
    for hit in hits:
        said = placeholder(hit.label) if hit.label else text[hit.start : hit.end]
        yield Finding(
            rule=rule.rule.id,
            name=rule.rule.name,
            version=rule.rule.version,
            kind=rule.rule.kind,
            action=_told(rule.rule.action),
            severity=rule.rule.severity,
            start=hit.start,
            end=hit.end,
            said=said,
            number=hit.number,
            limit=hit.limit,
            team=rule.rule.team,
            label=hit.label,
            because=hit.because,
            redacts=rule.rule.action == "redact",
        )


def _told(action: RuleAction) -> Action:
    """Records know no action of their own for it: what is redacted passes, as what is tagged does."""
    return "tag" if action == "redact" else action


def _tell(errors: Sequence[str]) -> str:
    more = len(errors) - _MOST_ERRORS
    told = "; ".join(errors[:_MOST_ERRORS])
    return f"{told}; and {more} more" if more > 0 else told


def _place(finding: Finding) -> tuple[int, int, str]:
    return finding.start, finding.end, finding.rule
