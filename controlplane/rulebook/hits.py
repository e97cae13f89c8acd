"""What rules hit lately, and what they cost: of those too that hold nothing."""

import msgspec
from django.db import connection

from controlplane.runtime.models import Heartbeat
from guardrails.costs import Cost, costs_of

COUNTED = 20_000  # records, the latest ones: the page waits for them
# A turn that is blocked or replaced has several records with the same verdict.
_HITS = """
SELECT rule, count(DISTINCT trace_id) FILTER (WHERE acts),
  count(DISTINCT trace_id) FILTER (WHERE NOT acts)
FROM (
  SELECT trace_id, rules, watched FROM traces_record
  WHERE at > now() - interval '24 hours' AND (rules <> '{}' OR watched <> '{}')
  ORDER BY at DESC LIMIT %s
) latest CROSS JOIN LATERAL (
  SELECT unnest(rules), true UNION ALL SELECT unnest(watched), false
) hit (rule, acts)
GROUP BY rule
"""


class Hits(msgspec.Struct, frozen=True):
    """Turns of a day. watched: of a rule in shadow, or of those that its canary spared."""

    acting: int = 0
    watched: int = 0


def hits_by_rule() -> dict[str, Hits]:
    with connection.cursor() as cursor:
        cursor.execute(_HITS, [COUNTED])
        return {rule: Hits(*counts) for rule, *counts in cursor.fetchall()}


def costs_by_rule(ruleset_hash: str) -> dict[str, Cost]:
    """As the workers tell that obey the rule-set, or did when they were last heard of."""
    told = Heartbeat.objects.filter(ruleset_hash=ruleset_hash)
    return costs_of(told.values_list("rule_costs", flat=True))
