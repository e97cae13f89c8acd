"""Tries a rule that is being written on a text, alone and together with the rest of the draft."""

import time
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import msgspec
from django.conf import settings
from django.contrib.auth.models import User
from django.utils.safestring import SafeString

from controlplane.chat.actions import read_line
from controlplane.chat.models import Message
from guardrails import scored
from guardrails.context import Context
from guardrails.engine import Engine, compile_rules
from guardrails.masking import masker_of
from guardrails.rules import Rule, RuleSet, decode_rule_set, encode_rule_set
from guardrails.verdicts import Finding, Verdict, why
from moderation.marks import marked

MAX_TEXT = 20_000
RECORDED = 20
MAX_DIGITS = 18  # of a number that a column can have
MAY_READ = "backtests.view_sample"
_ROLES = {"input": Message.Role.USER, "output": Message.Role.ASSISTANT}


class Recorded(NamedTuple):
    key: int
    shown: str


class Tried(msgspec.Struct, frozen=True, kw_only=True):
    """What a rule came to on a text by itself, and what all rules of the draft together."""

    html: SafeString
    alone: Verdict
    together: Verdict
    took_us: float
    hits: list[Finding]

    @property
    def why(self) -> str:
        return why(self.together)

    @property
    def others(self) -> list[str]:
        """Names of other rules that hit it too."""
        mine = {hit.rule for hit in self.hits}
        found = (*self.together.findings, *self.together.shadow)
        return list(dict.fromkeys(hit.name for hit in found if hit.rule not in mine))


def try_rule(rule: Rule, rules: Sequence[Rule], text: str) -> Tried:
    """rules: the draft. The rule takes the place of its earlier version, enforced."""
    text = text[:MAX_TEXT]
    enforced = msgspec.structs.replace(rule, mode="enforce")
    others = tuple(each for each in rules if each.id != rule.id)
    context = Context(
        direction=rule.direction,
        tier=next(iter(rule.tiers), "free"),
        workflow=rule.workflows[0],
    )
    engine = _engine(encode_rule_set(RuleSet((enforced,))))
    started_ns = time.perf_counter_ns()
    alone = scored.check(engine, text, context)
    took_us = (time.perf_counter_ns() - started_ns) / 1000
    together = _engine(encode_rule_set(RuleSet((*others, enforced))))
    spans = [(hit.start, hit.end, hit.label or "hit") for hit in alone.findings]
    return Tried(
        html=marked(text, spans),
        alone=alone,
        together=scored.check(together, text, context),
        took_us=took_us,
        hits=list(alone.findings),
    )


@lru_cache(maxsize=8)
def _engine(body: bytes) -> Engine:
    return compile_rules(decode_rule_set(body))


def recorded(user: User, direction: str) -> list[Recorded]:
    """The latest lines of conversations that a rule of the direction would have read, without personal data."""
    if not user.has_perm(MAY_READ):
        return []
    role = _ROLES.get(direction, Message.Role.ASSISTANT)
    latest = Message.objects.filter(role=role).order_by("-pk")[:RECORDED]
    hide = masker_of(settings.MASKING).hide_or_omit
    return [Recorded(key, hide(text)) for key, text in latest.values_list("pk", "text")]


def text_of(user: User, key: str) -> str | None:
    """The text of a recorded message that somebody has picked, if he may read it. It is on record that he did."""
    is_key = key.isascii() and key.isdigit() and len(key) <= MAX_DIGITS
    if not is_key or not user.has_perm(MAY_READ):
        return None
    return read_line(int(key), by=user)
