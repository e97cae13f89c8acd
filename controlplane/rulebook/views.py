"""The pages of the rules."""

from typing import Any

from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache

from controlplane.accounts.access import SignedInRequest
from controlplane.fragments import wants_fragment
from controlplane.rulebook import editing, listing, publishing, tryout
from controlplane.rulebook.forms import KINDS, RuleForm
from controlplane.rulebook.published import published_context
from controlplane.rulebook.publishing import PublishForm, RollBackForm
from guardrails import actions
from guardrails.models import Publication, Rule

MAX_BIGINT = 2**63 - 1  # PostgreSQL has no larger ones


@never_cache
def rules(request: SignedInRequest) -> HttpResponse:
    is_part = wants_fragment(request)
    context = (
        listing.part_context(request.GET)
        if is_part
        else listing.list_context(request.GET, request.user)
    )
    template = "_list" if is_part else "list"
    status = 200 if context["is_ok"] else 422
    return render(request, f"rules/{template}.html", context, status=status)


@never_cache
def published(request: SignedInRequest) -> HttpResponse:
    return render(request, "rules/_published.html", published_context())


@never_cache
def add(request: SignedInRequest) -> HttpResponse:
    """?kind= is the kind; without one they are offered."""
    kind = (request.POST if request.method == "POST" else request.GET).get("kind", "")
    if kind not in KINDS:
        return render(request, "rules/kinds.html", {"kinds": listing.kinds()})
    if request.method == "POST":
        return _save(request, None, RuleForm(kind, request.POST))
    return _rule(request, None, RuleForm(kind))


@never_cache
def rule(request: SignedInRequest, slug: str) -> HttpResponse:
    row = get_object_or_404(Rule, slug=slug)
    try:
        current = actions.to_struct(row)
    except actions.InvalidRulesError as error:
        return _unreadable(request, row, error)
    if request.method == "POST":
        return _save(request, row, RuleForm(row.kind, request.POST, rule=current))
    return _rule(request, row, RuleForm(row.kind, rule=current))


def _unreadable(
    request: SignedInRequest, row: Rule, error: actions.InvalidRulesError
) -> HttpResponse:
    """As one may be after another version of the product was here. It can be taken out, or a file put over it."""
    context = {"rule": row, "problems": error.problems, **listing.rights(request.user)}
    return render(request, "rules/unreadable.html", context)


def _save(request: SignedInRequest, row: Rule | None, form: RuleForm) -> HttpResponse:
    if not form.is_valid() or form.rule is None:
        return _rule(request, row, form, status=422)
    seen = form.cleaned_data["seen"]
    try:
        saved = actions.save_rule(form.rule, editor=request.user, seen=seen)
    except actions.RefusedRuleError as error:
        form.refuse(error.admission.problems)
        return _rule(request, row, form, status=422)
    except actions.StaleRuleError as error:
        return _stale(request, form, error.current)
    return redirect("rules:rule", saved.slug)


def _stale(
    request: SignedInRequest, form: RuleForm, current: Rule | None
) -> HttpResponse:
    """Nobody's text is lost: the form has the second person's, the page says what the first has changed."""
    mine, seen = form.rule, form.cleaned_data["seen"]
    assert mine is not None
    if current is None:
        form.add_error(
            None,
            "Somebody has deleted the rule meanwhile. Add it as a new one to keep it.",
        )
        return _rule(request, None, form, status=409)
    if not seen:
        form.add_error("slug", "There is a rule with this id. Choose another one.")
        return _rule(request, None, form, status=409)
    merged, clash = editing.merge(mine, seen, current)
    again = RuleForm(merged.kind, rule=merged)
    context = editing.rule_context(current, again, request.user, clash=clash)
    return render(request, "rules/rule.html", context, status=409)


def _rule(
    request: SignedInRequest, row: Rule | None, form: RuleForm, *, status: int = 200
) -> HttpResponse:
    context = editing.rule_context(row, form, request.user)
    return render(request, "rules/rule.html", context, status=status)


@never_cache
def try_out(request: SignedInRequest) -> HttpResponse:
    """Try what stands in the form, which is not saved by it."""
    given = request.POST
    kind, text = given.get("kind", ""), given.get("text", "")[: tryout.MAX_TEXT]
    picked = tryout.text_of(request.user, given.get("message", ""))
    text = text if picked is None else picked
    if kind not in KINDS:
        return redirect("rules:list")
    row, current = editing.find(given.get("slug", ""), kind)
    form = RuleForm(kind, given, rule=current)
    tried = None
    if form.is_valid() and form.rule is not None and text:
        tried = tryout.try_rule(form.rule, actions.readable_draft().rules, text)
    is_fragment = wants_fragment(request)
    if is_fragment and picked is None:
        found = {"form": form, "text": text, "tried": tried}
        return render(request, "rules/_tried.html", found)
    context = editing.rule_context(row, form, request.user, text=text, tried=tried)
    template = "_try" if is_fragment else "rule"
    return render(request, f"rules/{template}.html", context)


def delete(request: SignedInRequest, slug: str) -> HttpResponse:
    seen = request.POST.get("seen", "")
    is_version = seen.isdecimal() and len(seen) <= tryout.MAX_DIGITS
    try:
        actions.delete_rule(
            slug, editor=request.user, seen=int(seen) if is_version else 0
        )
    except actions.StaleRuleError as error:
        if error.current is None:
            return redirect("rules:list")
        return render(
            request, "rules/not_deleted.html", {"rule": error.current}, status=409
        )
    return redirect("rules:list")


@never_cache
def review(request: SignedInRequest) -> HttpResponse:
    """The draft as a diff to what is in force; posted with a reason, it is published."""
    if request.method != "POST":
        return _review(request)
    form = PublishForm(request.POST)
    if not form.is_valid():
        return _review(request, form, status=422)
    given = form.cleaned_data
    reviewed = actions.Reviewed(given["draft"], given["in_force"])
    try:
        made = actions.publish(
            reason=given["reason"], publisher=request.user, reviewed=reviewed
        )
    except actions.InvalidRulesError as error:
        return _review(request, form, problems=error.problems, status=422)
    except actions.StaleDraftError:
        return _review(request, form, has_moved=True, status=409)
    return redirect("rules:publication", made.pk)


def _review(
    request: SignedInRequest,
    form: PublishForm | None = None,
    *,
    status: int = 200,
    **found: Any,
) -> HttpResponse:
    context = publishing.review_context(request.user, form, **found)
    return render(request, "rules/review.html", context, status=status)


@never_cache
def history(request: SignedInRequest) -> HttpResponse:
    context = publishing.history_context(request.GET)
    return render(request, "rules/history.html", context)


@never_cache
def publication(request: SignedInRequest, key: int) -> HttpResponse:
    """What a publication changed and who obeys it; posted with a reason, its rule-set is in force again."""
    found = get_object_or_404(
        Publication.objects.with_people(), pk=min(key, MAX_BIGINT)
    )
    if request.method != "POST":
        return _publication(request, found)
    form = RollBackForm(request.POST)
    if not form.is_valid():
        return _publication(request, found, form, status=422)
    given = form.cleaned_data
    try:
        made = actions.roll_back(
            found,
            seen=given["in_force"],
            reason=given["reason"],
            publisher=request.user,
        )
    except actions.StaleDraftError:
        return _publication(request, found, form, has_moved=True, status=409)
    return redirect("rules:publication", made.pk)


def _publication(
    request: SignedInRequest,
    found: Publication,
    form: RollBackForm | None = None,
    *,
    has_moved: bool = False,
    status: int = 200,
) -> HttpResponse:
    context = publishing.publication_context(
        found, request.user, form, has_moved=has_moved
    )
    return render(request, "rules/publication.html", context, status=status)
