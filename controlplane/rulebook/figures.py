"""What rules have held lately, and how often moderators agreed."""

from datetime import timedelta
from typing import Any

import msgspec
from django.db.models import Count, F, Func, Q, QuerySet, TextField, Value
from django.utils import timezone

from moderation.models import Approval, Decision

HELD_WITHIN = timedelta(hours=24)
DECISIONS = 1_000


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """held: within a day. decided and released: of the latest decisions, on what this rule held."""

    held: int = 0
    decided: int = 0
    released: int = 0

    @property
    def right_percent(self) -> int | None:
        """How much of what it held a person did not send as it was."""
        if not self.decided:
            return None
        return round(100 * (self.decided - self.released) / self.decided)


def figures_by_rule() -> dict[str, Figures]:
    """By the rule's id, in two queries. Only findings that made the text wait count."""
    held = dict(
        _by_rule(Approval.objects.filter(created_at__gte=timezone.now() - HELD_WITHIN))
        .annotate(held=Count("pk", distinct=True))
        .values_list("rule", "held")
    )
    latest = Decision.objects.latest_first().values("approval")[:DECISIONS]
    released = Q(decision__verdict=Decision.Verdict.APPROVE)
    decided = {
        rule: (of_it, as_it_was)
        for rule, of_it, as_it_was in _by_rule(Approval.objects.filter(pk__in=latest))
        .annotate(
            decided=Count("pk", distinct=True),
            released=Count("pk", distinct=True, filter=released),
        )
        .values_list("rule", "decided", "released")
    }
    return {
        rule: Figures(held=held.get(rule, 0), decided=of_it, released=as_it_was)
        for rule in held.keys() | decided.keys()
        for of_it, as_it_was in [decided.get(rule, (0, 0))]
    }


def _by_rule(approvals: QuerySet[Approval]) -> QuerySet[Any, Any]:
    holding = Func(
        F("verdict"),
        Value('$.findings[*] ? (@.action == "escalate").rule'),
        template="%(function)s(%(expressions)s::jsonpath) #>> '{}'",
        function="jsonb_path_query",
        output_field=TextField(),
        set_returning=True,
    )
    return approvals.order_by().annotate(rule=holding).values("rule")
