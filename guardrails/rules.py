"""The contract of a rule and of a rule-set, its hash, and what makes a rule invalid."""

import hashlib
import math
from collections import Counter
from collections.abc import Iterator
from typing import Literal

import msgspec
import regex  # type: ignore[import-untyped]

from guardrails.context import Direction
from guardrails.patterns import compile_pattern
from guardrails.text import normalise
from guardrails.verdicts import Action, Severity

Kind = Literal[
    "terms", "pattern", "pii", "threshold", "expression", "score", "topic", "judge"
]
Mode = Literal["draft", "shadow", "canary", "enforce", "off"]
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
    action: Action
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
    percent: float = 0  # of all traces, in which a canary acts
    types: tuple[str, ...] = ()  # of personal data
    regions: tuple[str, ...] = ()  # whose phone numbers and ids; empty: all known
    expression: str = ""  # in CEL; `limit` is the rule's own
    score: str = ""  # the name of the score that is held against the limit
    examples: tuple[str, ...] = ()  # texts of a topic
    counter_examples: tuple[str, ...] = ()  # texts that are near and not of it
    instruction: str = ""  # what a judge is asked
    on_timeout: OnTimeout = "hold"  # of a pattern that only `regex` can run

    def __post_init__(self) -> None:
        if self.limit is not None:  # 5 and 5.0 are one limit, so they have one hash
            msgspec.structs.force_setattr(self, "limit", float(self.limit))


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


def check_rule(rule: Rule) -> list[str]:
    """What keeps this rule from being enforced, in sentences for the person who edits it."""
    return [*_check_content(rule), *_check_action(rule), *_check_lists(rule)]


def check_rule_set(rule_set: RuleSet) -> list[str]:
    counts = Counter(rule.id for rule in rule_set.rules)
    problems = [
        f"The id {key} is used by {count} rules."
        for key, count in counts.items()
        if count > 1
    ]
    for rule in rule_set.rules:
        problems += [
            f"{rule.name or rule.id}: {problem}" for problem in check_rule(rule)
        ]
    return problems


def _check_content(rule: Rule) -> Iterator[str]:
    if not regex.fullmatch(r"[a-z0-9]+(?:-[a-z0-9]+)*", rule.id):
        yield "The id must be lower-case letters, digits and single dashes."
    if not rule.name.strip():
        yield "The rule needs a name."
    if rule.kind == "terms" and not rule.terms:
        yield "A rule of terms needs at least one term."
    if rule.kind == "pattern":
        yield from _check_pattern(rule.pattern)
    if rule.kind == "threshold":
        yield from _check_threshold(rule)


def _check_pattern(pattern: str) -> Iterator[str]:
    try:
        compiled = compile_pattern(pattern)
    except regex.error as error:
        yield f"The pattern does not compile: {error.msg} at column {error.pos + 1}."
    else:
        # A boundary alone, such as \b, matches nothing too, only not in an empty text.
        if any(found.end() == found.start() for found in compiled.finditer(" a 1.")):
            yield "The pattern matches the empty string, so it would hit every text."


def _check_threshold(rule: Rule) -> Iterator[str]:
    if not rule.field:
        yield "A threshold needs the field it reads."
    if rule.limit is None or not math.isfinite(rule.limit):
        yield "A threshold needs a limit."


def _check_action(rule: Rule) -> Iterator[str]:
    if rule.action == "block" and rule.direction != "input":
        yield "Only what comes in can be blocked; replace or escalate an answer."
    if rule.action == "replace" and rule.direction != "output":
        yield "Only an answer can be replaced; block or escalate what comes in."
    if rule.action in {"block", "replace"} and not rule.reply.strip():
        yield "The rule needs the text that the user gets instead."
    if rule.action == "escalate" and rule.team not in TEAMS:
        yield f"The rule needs the team that decides: {', '.join(TEAMS)}."


def _check_lists(rule: Rule) -> Iterator[str]:
    if not rule.workflows:
        yield "The rule covers no workflow, so it would never run."
    lists = {
        "term": rule.terms,
        "exception": rule.exceptions,
        "case": rule.must_hit + rule.must_pass,
        "tier": rule.tiers,
        "workflow": rule.workflows,
    }
    for word, entries in lists.items():
        if not all(normalise(entry).text.strip() for entry in entries):
            yield f"One {word} is blank."
