"""Checks what a person is about to send against the rules in force."""

from functools import lru_cache

import msgspec

from guardrails import scored
from guardrails.context import Context
from guardrails.engine import Engine, compile_rules
from guardrails.models import Publication
from guardrails.rules import decode_rule_set
from guardrails.verdicts import PASSING, Finding, Verdict


def check(text: str, *, tier: str, workflow: str, trace_id: str = "") -> Verdict:
    """Return the verdict on an answer. What cannot be checked does not pass."""
    body = (
        Publication.objects.order_by("-pk")
        .values_list("rule_set__body", flat=True)
        .first()
    )
    if body is None:
        return _unchecked("no rule-set is published")
    try:
        engine = _engine(bytes(body))
    except msgspec.MsgspecError as error:
        return _unchecked(f"the published rule-set cannot be read ({error})")
    context = Context(
        direction="output", tier=tier, workflow=workflow, trace_id=trace_id
    )
    return scored.check(engine, text, context)


def does_pass(verdict: Verdict) -> bool:
    """What would be redacted does not pass either: nobody redacts what a person writes."""
    return verdict.action in PASSING and not verdict.error and not verdict.redacted


def refusing(verdict: Verdict) -> list[Finding]:
    """The findings for which it does not pass."""
    return [
        hit
        for hit in verdict.findings
        if hit.action not in PASSING or (verdict.redacted and hit.redacts)
    ]


@lru_cache(maxsize=4)
def _engine(body: bytes) -> Engine:
    return compile_rules(decode_rule_set(body))


def _unchecked(error: str) -> Verdict:
    return Verdict(action="escalate", team="general", error=error)
