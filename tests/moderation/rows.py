"""Rows and forms that only the tests of the queue need."""

from typing import Any

from django.contrib.auth.models import Permission, User
from django.db import connections

from guardrails.dealer import DEALER
from guardrails.models import Publication, RuleSet
from guardrails.rules import encode_rule_set, ruleset_hash
from moderation.models import Approval
from tests.factories import make_user

EDITED = "I can give you 4 % off today."
SAFE = "A colleague will call you about the price."


def publish_rules() -> None:
    """Put the dealer's rules in force: 5 % off is the most that a free user may hear."""
    rule_set = RuleSet.objects.create(
        hash=ruleset_hash(DEALER), body=encode_rule_set(DEALER)
    )
    Publication.objects.create(
        rule_set=rule_set, published_by=make_user("rule-editor"), reason="First rules"
    )


def allow(user: User, *codenames: str) -> User:
    user.user_permissions.add(*Permission.objects.filter(codename__in=codenames))
    return user


def form_of(approval: Approval, **fields: str) -> dict[str, str]:
    """What a browser posts, the panels that are not open included."""
    fresh = Approval.objects.with_conversation().get(pk=approval.pk)
    defaults = {
        "verdict": "approve",
        "fingerprint": fresh.fingerprint,
        "team": "",
        "text": approval.text,
        "reason": "",
        "safe_text": "Something safe.",
        "then_next": "on",
    }
    return defaults | fields


def database_url() -> str:
    """Return the URL of the test database, for processes of our own."""
    given: dict[str, Any] = connections["default"].settings_dict
    return "postgresql://{USER}:{PASSWORD}@{HOST}:{PORT}/{NAME}".format(**given)
