"""Valid rules to vary in tests."""

from msgspec.structs import replace

from guardrails.rules import Rule, RuleSet

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


def make_terms(**changes: object) -> Rule:
    return replace(_BASE, **changes)


def make_pattern(pattern: str, **changes: object) -> Rule:
    return replace(_PATTERN, pattern=pattern, **changes)


def make_threshold(**changes: object) -> Rule:
    return replace(_THRESHOLD, **changes)


def make_set(*rules: Rule) -> RuleSet:
    return RuleSet(rules)
