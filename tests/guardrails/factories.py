"""Valid rules to vary in tests."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, lru_cache
from typing import Any

import pytest
from msgspec.structs import replace

from guardrails.context import Context
from guardrails.engine import Engine, compile_rules
from guardrails.masking import Masker
from guardrails.masking_settings import MaskingSettings
from guardrails.pii.types import TYPES
from guardrails.rules import Rule, RuleSet
from guardrails.verdicts import Verdict

_BASE = Rule(
    id="brands",
    name="Brands",
    direction="output",
    kind="terms",
    action="replace",
    terms=("tesla",),
    reply="Let us talk about our cars.",
)
_PATTERN = replace(
    _BASE, id="digits", name="Digits", kind="pattern", terms=(), pattern=r"\d+"
)
_THRESHOLD = Rule(
    id="discounts",
    name="Discounts",
    direction="output",
    kind="threshold",
    action="escalate",
    field="discount_percent",
    limit=5,
    team="discount",
)

_PII = Rule(
    id="personal",
    name="Personal data",
    direction="input",
    kind="pii",
    action="redact",
    types=("card",),
)
_EXPRESSION = Rule(
    id="expression",
    name="Expression",
    direction="output",
    kind="expression",
    action="escalate",
    team="general",
)
_SCORE = Rule(
    id="toxic",
    name="Toxic",
    direction="output",
    kind="score",
    action="escalate",
    team="general",
    score="toxicity",
    limit=0.7,
)


def make_terms(**changes: object) -> Rule:
    return replace(_BASE, **changes)


def make_pattern(pattern: str, **changes: object) -> Rule:
    return replace(_PATTERN, pattern=pattern, **changes)


def make_threshold(**changes: object) -> Rule:
    return replace(_THRESHOLD, **changes)


def make_set(*rules: Rule) -> RuleSet:
    return RuleSet(rules)


def make_pii(*types: str, **changes: object) -> Rule:
    return replace(_PII, types=types, **changes)


def make_expression(expression: str, **changes: object) -> Rule:
    return replace(_EXPRESSION, expression=expression, **changes)


def make_score(**changes: object) -> Rule:
    return replace(_SCORE, **changes)


def check(text: str, *rules: Rule, **context: Any) -> Verdict:
    """The verdict of an engine of these rules, in the direction of the first."""
    fields: dict[str, Any] = {
        "direction": rules[0].direction if rules else "output",
        "tier": "free",
        "workflow": "chat",
    }
    return _engine(rules).check(text, Context(**(fields | context)))


@lru_cache(maxsize=64)
def _engine(rules: tuple[Rule, ...]) -> Engine:
    return compile_rules(make_set(*rules))


@contextmanager
def without_clock() -> Iterator[None]:
    """What is found then does not depend on what else the machine does."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("time.thread_time", lambda: 0.0)
        yield


def said(verdict: Verdict) -> list[str]:
    return [finding.said for finding in verdict.findings]


@cache
def make_masker() -> Masker:
    return Masker(MaskingSettings(tuple(TYPES), secret=b"tests"))
