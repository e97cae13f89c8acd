"""The contract of a rule and of a rule-set, and its hash."""

import hashlib
from typing import Literal

import msgspec

from guardrails.context import Direction
from guardrails.verdicts import Severity

Kind = Literal[
    "terms", "pattern", "pii", "threshold", "expression", "score", "topic", "judge"
]
Mode = Literal["draft", "shadow", "canary", "enforce", "off"]
RuleAction = Literal["allow", "tag", "redact", "replace", "escalate", "block"]
OnTimeout = Literal["hold", "hit", "pass"]

TEAMS = ("discount", "finance", "legal", "general")


class Rule(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
):
    """One rule. A default never changes: what is omitted is part of what was hashed."""

    id: str
    name: str
    direction: Direction
    kind: Kind
    action: RuleAction
    severity: Severity = "medium"
    mode: Mode = "enforce"
    version: int = 1
    tiers: tuple[str, ...] = ()  # empty: all
    workflows: tuple[str, ...] = ("chat",)
    terms: tuple[str, ...] = ()
    pattern: str = ""
    field: Literal["discount_percent", ""] = ""
    limit: float | None = None
    team: str = ""  # who decides, for escalate
    reply: str = ""  # the refusal for block, the fallback text for replace
    exceptions: tuple[
        str, ...
    ] = ()  # terms that excuse a span of this rule where they cover it
    must_hit: tuple[str, ...] = ()
    must_pass: tuple[str, ...] = ()
    priority: int = 0  # of two rules whose actions are alike, the higher one wins
    percent: float = 0.0  # of all traces, in which a canary acts
    types: tuple[str, ...] = ()  # of personal data
    regions: tuple[str, ...] = ()  # whose phone numbers and ids; empty: all known
    expression: str = ""  # in CEL; `limit` is the rule's own
    score: str = ""  # the name of the score that is held against the limit
    examples: tuple[str, ...] = ()  # texts of a topic
    counter_examples: tuple[str, ...] = ()  # texts that are near and not of it
    is_allow_list: bool = (
        False  # of a topic: its examples may pass, and what is like none of them is hit
    )
    instruction: str = ""  # what a judge is asked
    on_timeout: OnTimeout = "hold"  # of a pattern that only `regex` can run

    def __post_init__(self) -> None:
        if self.limit is not None:  # 5 and 5.0 are one limit, so they have one hash
            msgspec.structs.force_setattr(self, "limit", float(self.limit))
        msgspec.structs.force_setattr(self, "percent", float(self.percent))


class RuleSet(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Rules that are published together."""

    rules: tuple[Rule, ...]


_ENCODER = msgspec.json.Encoder(order="sorted")
_DECODER = msgspec.json.Decoder(RuleSet)


_DEFAULTS = {
    field.name: msgspec.to_builtins(field.default)
    for field in msgspec.structs.fields(Rule)
    if field.default is not msgspec.NODEFAULT
}


def encode_rule_set(rule_set: RuleSet) -> bytes:
    """Canonical JSON: one rule-set, one form, whatever the order of its rules."""
    rules = sorted(map(_canonical, rule_set.rules), key=_ENCODER.encode)
    return _ENCODER.encode({"rules": sorted(rules, key=lambda rule: str(rule["id"]))})


def _canonical(rule: Rule) -> dict[str, object]:
    """Leave out what equals its default; the encoder itself would compare by identity."""
    return {
        name: value
        for name, value in msgspec.to_builtins(rule).items()
        if name not in _DEFAULTS or value != _DEFAULTS[name]
    }


def decode_rule_set(data: bytes) -> RuleSet:
    """Raises msgspec.ValidationError for anything this version cannot enforce, such as a new field."""
    return _DECODER.decode(data)


def ruleset_hash(rule_set: RuleSet) -> str:
    return hashlib.sha256(encode_rule_set(rule_set)).hexdigest()
