"""Publishes rule-sets within the product's own settings, as pages do. `python -m tests.e2e.publisher COUNT`."""

import sys

import django

django.setup()

from django.contrib.auth.models import User  # noqa: E402

from controlplane.runtime.models import Heartbeat  # noqa: E402
from guardrails import actions  # noqa: E402
from guardrails.models import Publication, Rule, RuleSet  # noqa: E402
from guardrails.rules import RuleSet as Rules  # noqa: E402
from guardrails.rules import decode_rule_set  # noqa: E402
from tests.e2e.pairs import make_pair  # noqa: E402
from tests.waiting import wait_for  # noqa: E402


def publish(rules: Rules) -> Publication:
    """Put exactly these in force."""
    ada = User.objects.get(username="ada")
    Rule.objects.all().delete()
    actions.save_rules(rules, editor=ada)
    return actions.publish(reason="a test", publisher=ada)


def restore(ruleset_hash: str) -> None:
    """Put what was in force before in force again, and into the draft."""
    ada = User.objects.get(username="ada")
    stored = RuleSet.objects.get(pk=ruleset_hash)
    Rule.objects.all().delete()
    actions.save_rules(decode_rule_set(bytes(stored.body)), editor=ada)
    actions.put_in_force(stored, reason="as before", publisher=ada)


def main(count: int) -> None:
    """One after the other, each as soon as the first of the workers obeys the one before."""
    for number in range(count):
        made = publish(Rules(make_pair(number)))
        obeying = Heartbeat.objects.filter(publication=made.pk)
        wait_for(obeying.exists, what="a worker that obeys it")


if __name__ == "__main__":
    main(int(sys.argv[1]))
