"""Rules, published sets and what they held, for the tests of the rules' pages."""

from typing import Any

from django.contrib.auth.models import User

from guardrails import actions, rules
from guardrails.models import Publication
from moderation.models import Approval, Decision
from tests.factories import make_approval
from tests.guardrails.factories import make_set, make_terms

BRANDS = make_terms(must_hit=("I like Tesla",), must_pass=("I like the E-Class",))


def put_in_draft(*wanted: rules.Rule) -> User:
    editor, _ = User.objects.get_or_create(username="editor")
    actions.save_rules(make_set(*wanted), editor=editor)
    return editor


def publish(*wanted: rules.Rule, reason: str = "new rules") -> Publication:
    editor = put_in_draft(*wanted)
    return actions.publish(reason=reason, publisher=editor)


def make_held(*ids: str, verdict: str = "", **fields: Any) -> Approval:
    """An answer that the named rules held; verdict: what a moderator made of it."""
    findings = [
        {
            "rule": each,
            "name": each,
            "version": 1,
            "kind": "terms",
            "action": "escalate",
            "severity": "high",
            "start": 0,
            "end": 1,
            "said": "I",
        }
        for each in ids
    ]
    approval = make_approval(
        verdict={"action": "escalate", "findings": findings}, **fields
    )
    if verdict:
        by, _ = User.objects.get_or_create(username="mira")
        Decision.objects.create(
            approval=approval,
            verdict=verdict,
            text="Ten.",
            text_sha256="0" * 64,
            reason="it is wrong",
            decided_by=by,
        )
    return approval
