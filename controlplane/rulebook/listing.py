"""What the list of rules shows."""

from typing import Any, Literal

import msgspec
from django.contrib.auth.models import User
from django.core.paginator import Paginator
from django.http import QueryDict

from controlplane.rulebook.figures import Figures, figures_by_rule
from controlplane.rulebook.filters import FilterForm
from controlplane.rulebook.forms import KINDS
from controlplane.rulebook.hits import COUNTED, Hits, costs_by_rule, hits_by_rule
from controlplane.rulebook.published import published_context, rules_of
from guardrails import actions, rules
from guardrails.costs import Cost
from guardrails.models import Publication, Rule

PAGE = 100
Change = Literal["new", "changed", "removed"]
MODE_COLOURS = {
    "enforce": "go",
    "canary": "work",
    "shadow": "plain",
    "draft": "plain",
    "off": "plain",
}


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """A rule of the draft. change: what publishing would do about it."""

    rule: Rule
    figures: Figures
    hits: Hits
    cost: Cost | None
    change: Change | Literal[""]

    @property
    def colour(self) -> str:
        return MODE_COLOURS[self.rule.mode]

    @property
    def mode(self) -> str:
        if self.rule.mode == Rule.Mode.CANARY:
            return f"canary {self.rule.percent:g} %"
        return self.rule.mode

    @property
    def action(self) -> str:
        if self.rule.action == Rule.Action.ESCALATE:
            return f"escalate to {self.rule.team or 'nobody'}"
        return self.rule.action


def list_context(query: QueryDict, user: User) -> dict[str, Any]:
    """What the page says besides its rows: it looks at all rules, to count what publishing would change."""
    published = published_context()
    live = rules_of(published["publication"])
    changes = changes_of(list(Rule.objects.all()), live or {})
    return {
        **published,
        **rows_context(query, published["publication"], live or {}),
        "changes": len(changes),
        "is_readable": live is not None,
        **rights(user),
    }


def part_context(query: QueryDict) -> dict[str, Any]:
    """Only the rows, which an open page asks for again and again."""
    publication = Publication.objects.latest_first().with_people().first()
    return rows_context(query, publication, rules_of(publication) or {})


def rows_context(
    query: QueryDict, publication: Publication | None, live: dict[str, rules.Rule]
) -> dict[str, Any]:
    filters = FilterForm(query)
    page = Paginator(filters.chosen(), PAGE).get_page(query.get("page"))
    changes = changes_of(list(page), live)
    figures, hits = figures_by_rule(), hits_by_rule()
    costs = costs_by_rule(publication.rule_set_id) if publication else {}
    return {
        "filters": filters,
        "rows": [
            Row(
                rule=rule,
                figures=figures.get(rule.slug, Figures()),
                hits=hits.get(rule.slug, Hits()),
                cost=costs.get(rule.slug),
                change=changes.get(rule.slug, ""),
            )
            for rule in page
        ],
        "counted": f"{COUNTED:,}",
        "page": page,
        "query": _without_page(query),
        "here": query.urlencode(),
        "total": Rule.objects.count(),
        "is_ok": filters.is_valid(),
    }


def kinds() -> list[tuple[str, str, str]]:
    """Each kind that a rule can be of: its word, its name, and what it is for."""
    names = dict(Rule.Kind.choices)
    return [(kind, names[kind], says) for kind, (says, _) in KINDS.items()]


def rights(user: User) -> dict[str, bool]:
    return {
        "may_change": user.has_perm("guardrails.change_rule"),
        "may_publish": user.has_perm("guardrails.add_publication"),
        "may_evaluate": user.has_perm("evaluations.view_evaluation"),
        "may_see_history": user.has_perm("guardrails.view_publication"),
    }


def changes_of(draft: list[Rule], live: dict[str, rules.Rule]) -> dict[str, Change]:
    """By id, what publishing the draft would change."""
    changes: dict[str, Change] = {}
    for rule in draft:
        if rule.slug not in live:
            changes[rule.slug] = "new"
        elif not actions.is_same(rule, live[rule.slug]):
            changes[rule.slug] = "changed"
    gone = live.keys() - {rule.slug for rule in draft}
    return changes | dict.fromkeys(gone, "removed")


def _without_page(query: QueryDict) -> str:
    kept = query.copy()
    kept.pop("page", None)
    return kept.urlencode()
