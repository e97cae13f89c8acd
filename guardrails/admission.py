"""What an editor is told of a rule before it is saved: how it will be run, and what it costs at worst."""

import time
from typing import Literal

import msgspec
import regex  # type: ignore[import-untyped]

from guardrails.attacks import LENGTH, attacks
from guardrails.cases import CaseFailure, Score, no_scores, run_cases_of
from guardrails.checks import check_rule
from guardrails.context import Context
from guardrails.engine import Engine, compile_rules
from guardrails.kinds import plan_pattern
from guardrails.patterns import BUDGET_S, SPENT
from guardrails.rules import Rule, RuleSet

EngineClass = Literal["fast", "look-around", "slow", "expression", "model", "refused"]

_ROUNDS = 2  # the quicker counts, so that what others do on the machine does not
_BUSY = {
    "pii": "4111 1111 1111 1112, a.b@c.example, +49 711 17-0, 10.0.0.1; ",
    "expression": "10 % off €5,000, see https://a.example/b. ",
    "threshold": "10 % off €5,000, a third less. ",
}
_OF_KIND: dict[str, EngineClass] = {
    "expression": "expression",
    "threshold": "expression",
    "score": "model",
    "topic": "model",
    "judge": "model",
}


class Admission(msgspec.Struct, frozen=True, kw_only=True):
    """engine: fast is hyperscan alone; look-around is `regex` where hyperscan sees a chance; slow is `regex` on every text.

    worst_us: the longest that one of the texts took that were made for it. column: where a pattern is wrong, from 1.
    """

    engine: EngineClass
    problems: tuple[str, ...] = ()
    column: int | None = None
    notes: tuple[str, ...] = ()
    worst_us: float | None = None
    cases: tuple[CaseFailure, ...] = ()

    @property
    def is_refused(self) -> bool:
        return self.engine == "refused"


def admit(rule: Rule, rule_set: RuleSet, score: Score = no_scores) -> Admission:
    """Check, time and try a rule, alone and as a part of the set. It takes up to some seconds."""
    problems = check_rule(rule)
    if problems:
        column = _column(rule.pattern) if rule.kind == "pattern" else None
        return Admission(engine="refused", problems=tuple(problems), column=column)
    enforced = msgspec.structs.replace(rule, mode="enforce", on_timeout="hold")
    worst_us, is_endless = _time(enforced)
    engine, notes = _engine(rule)
    if is_endless:
        problem = (
            f"It takes more than {BUDGET_S * 1000:.0f} ms on a text of some {LENGTH:,} "
            "characters that was made for it. Write it without repeats inside of repeats."
        )
        return Admission(
            engine="refused", problems=(problem,), notes=notes, worst_us=worst_us
        )
    failures = tuple(run_cases_of(rule, rule_set, score))
    return Admission(engine=engine, notes=notes, worst_us=worst_us, cases=failures)


def _column(pattern: str) -> int | None:
    try:
        regex.compile(pattern)
    except regex.error as error:
        return int(error.pos) + 1
    return None


def _engine(rule: Rule) -> tuple[EngineClass, tuple[str, ...]]:
    if rule.kind != "pattern":
        return _OF_KIND.get(rule.kind, "fast"), ()
    source = plan_pattern(rule.pattern)
    if source is None:
        return "slow", ("hyperscan can do nothing for it",)
    engine: EngineClass = "fast" if source.is_exact else "look-around"
    return engine, (*source.translator.notes, *_edges(rule.pattern))


def _edges(pattern: str) -> tuple[str, ...]:
    if r"\b" not in pattern:
        return ()
    return (r"\b is the edge of a word in every script",)


def _time(rule: Rule) -> tuple[float, bool]:
    """The longest of the texts made for the rule in µs, and whether one of them took all the time there is."""
    engine = compile_rules(RuleSet((rule,)))
    context = Context(
        direction=rule.direction,
        tier=next(iter(rule.tiers), ""),
        workflow=rule.workflows[0],
    )
    worst_us = 0.0
    for text in _texts(rule):
        took_us, is_endless = _time_one(engine, text, context)
        worst_us = max(worst_us, took_us)
        if is_endless:
            return worst_us, True
    return worst_us, False


def _time_one(engine: Engine, text: str, context: Context) -> tuple[float, bool]:
    rounds = []
    for _ in range(_ROUNDS):
        start_ns = time.thread_time_ns()
        error = engine.check(text, context).error
        rounds.append((time.thread_time_ns() - start_ns) / 1000)
        if error.endswith(SPENT):
            return rounds[-1], True
    return min(rounds), False


def _texts(rule: Rule) -> list[str]:
    if rule.kind == "pattern":
        return [*attacks(rule.pattern), *rule.must_hit, *rule.must_pass]
    busy = " ".join(rule.terms) + " " if rule.terms else _BUSY.get(rule.kind, "a1 ")
    filled = (busy * (LENGTH // len(busy) + 1))[:LENGTH]
    return [filled, *rule.must_hit, *rule.must_pass]
