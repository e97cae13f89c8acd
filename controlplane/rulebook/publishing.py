"""What the pages show before publishing, after it, and of what was published before."""

from typing import Any

import msgspec
from django import forms
from django.contrib.auth.models import User
from django.core.paginator import Paginator
from django.http import QueryDict

from controlplane.rulebook.backtesting import of_draft_context
from controlplane.rulebook.diffs import RuleChange, set_changes
from controlplane.rulebook.listing import rights
from controlplane.rulebook.published import obeyed, published_context, rules_of
from guardrails import actions, rules
from guardrails.models import Publication

PAGE = 50
MAX_REASON = 1_000


class ReasonForm(forms.Form):
    reason = forms.CharField(
        label="Why?",
        max_length=MAX_REASON,
        widget=forms.Textarea(attrs={"rows": 2}),
        error_messages={"required": "Say why: it stands in the history."},
    )

    def __init__(self, data: QueryDict | None = None, **seen: object) -> None:
        super().__init__(data, auto_id="why-%s", label_suffix="", initial=seen)


class PublishForm(ReasonForm):
    """What the person has looked at: the hash of the draft, and the key of the publication in force, if any."""

    draft = forms.CharField(max_length=64, widget=forms.HiddenInput)
    in_force = forms.CharField(max_length=20, required=False, widget=forms.HiddenInput)


class RollBackForm(ReasonForm):
    """in_force: the key of the publication that the person has seen in force."""

    in_force = forms.CharField(max_length=20, widget=forms.HiddenInput)


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """A publication; is_again: its rule-set had been published before, so it is a rollback."""

    publication: Publication
    is_in_force: bool
    is_again: bool


def review_context(
    user: User,
    form: PublishForm | None = None,
    *,
    problems: list[str] | None = None,
    has_moved: bool = False,
) -> dict[str, Any]:
    """problems: why the draft was not published. has_moved: it, or what is in force, is not what was looked at."""
    context = published_context() | rights(user)
    live = rules_of(context["publication"]) or {}
    try:
        draft = actions.draft()
    except actions.InvalidRulesError as error:
        return context | {"problems": error.problems, "form": form or PublishForm()}
    seen = rules.ruleset_hash(draft)
    if form is None or has_moved:
        reason = form.data.get("reason", "") if form else ""
        latest = context["publication"].pk if context["publication"] else ""
        form = PublishForm(draft=seen, in_force=latest, reason=reason)
    changes = set_changes(live, {rule.id: rule for rule in draft.rules})
    return context | {
        "changes": changes,
        "rules": len(draft.rules),
        "hash": seen,
        "form": form,
        "problems": problems or [],
        "has_moved": has_moved,
        **of_draft_context(seen),
    }


def history_context(query: QueryDict) -> dict[str, Any]:
    found = Publication.objects.with_people().defer("rule_set__body").latest_first()
    page = Paginator(found, PAGE).get_page(query.get("page"))
    latest = Publication.objects.latest_first().values_list("pk", flat=True).first()
    hashes = {each.rule_set_id for each in page}
    first = Publication.objects.filter(rule_set__in=hashes).first_of_each_set()
    return {
        "page": page,
        "listed": [
            Listed(
                publication=each,
                is_in_force=each.pk == latest,
                is_again=each.pk != first[each.rule_set_id],
            )
            for each in page
        ],
    }


def publication_context(
    publication: Publication,
    user: User,
    form: RollBackForm | None = None,
    *,
    has_moved: bool = False,
) -> dict[str, Any]:
    latest = Publication.objects.latest_first().with_people().first()
    assert latest is not None  # there is at least the one that is looked at
    before = Publication.objects.filter(pk__lt=publication.pk)
    return {
        "publication": publication,
        "latest": latest,
        "is_in_force": publication.pk == latest.pk,
        "is_same_set": publication.rule_set_id == latest.rule_set_id,
        "obeyed": obeyed(latest),
        "changes": _between(before.with_people().latest_first().first(), publication),
        "back": _between(latest, publication),
        "form": RollBackForm(in_force=latest.pk) if form is None or has_moved else form,
        "has_moved": has_moved,
        **rights(user),
    }


def _between(old: Publication | None, new: Publication) -> list[RuleChange] | None:
    """None if one of the two cannot be read by this version."""
    before, after = rules_of(old), rules_of(new)
    return None if before is None or after is None else set_changes(before, after)
