"""The pages of effects outside: the list, one mail, and a decision on many."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache

from controlplane.accounts.access import SignedInRequest
from controlplane.effects import actions, pages
from controlplane.effects.forms import (
    AT_ONCE,
    MAX_ID,
    ChosenForm,
    DecisionForm,
    FilterForm,
)
from controlplane.effects.models import Effect


@never_cache
def effects(request: SignedInRequest) -> HttpResponse:
    context = pages.list_context(request.GET, request.user)
    return render(
        request,
        "effects/list.html",
        context,
        status=200 if context["is_ok"] else 422,
    )


@never_cache
def preview(request: SignedInRequest) -> HttpResponse:
    """Show each mail that a decision would be about. The filter is the query."""
    form = ChosenForm(request.POST)
    if form.is_valid():
        chosen = form.chosen_from(FilterForm(request.GET).effects())[:AT_ONCE]
        if chosen:
            return render(
                request, "effects/decide.html", pages.decision_context(chosen)
            )
        form.add_error("effects", "None of these mails is there any more.")
    context = pages.list_context(request.GET, request.user, form)
    return render(request, "effects/list.html", context, status=422)


@never_cache
def effect(request: SignedInRequest, effect_id: int) -> HttpResponse:
    found = get_object_or_404(
        Effect.objects.select_related("stop", "decided_by"), pk=min(effect_id, MAX_ID)
    )
    return _effect(request, found)


def _effect(
    request: HttpRequest,
    found: Effect,
    form: DecisionForm | None = None,
    *,
    status: int = 200,
) -> HttpResponse:
    context = pages.effect_context(found, request.user, form)  # type: ignore[arg-type]  # signed in
    return render(request, "effects/effect.html", context, status=status)


def decide(request: SignedInRequest) -> HttpResponse:
    """Of one mail its own page says what is wrong, of many the page that showed them."""
    form = DecisionForm(request.POST)
    if not form.is_valid():
        return _again(request, form, status=422)
    given = form.cleaned_data
    decided = actions.decide_effects(
        given["effects"],
        verb=given["verb"],
        reason=given["reason"],
        by=request.user,
    )
    if not decided.left:
        word = actions.PAST[given["verb"]]
        messages.success(request, f"{_counted(len(decided.done))} {word}.")
        return redirect("effects:list")
    return _left(request, form, decided)


def _left(
    request: SignedInRequest, form: DecisionForm, decided: actions.Decided
) -> HttpResponse:
    if decided.done:
        done = f"{_counted(len(decided.done))} {actions.PAST[form.cleaned_data['verb']]}; what is below was left."
        form.add_error(None, done)
    for left in decided.left:
        form.add_error(None, f"{left.effect.recipient}: {left.why}")
    return _again(
        request, form, status=409, ids=[each.effect.pk for each in decided.left]
    )


def _again(
    request: SignedInRequest,
    form: DecisionForm,
    *,
    status: int,
    ids: list[int] | None = None,
) -> HttpResponse:
    wanted = form.cleaned_data.get("effects", []) if ids is None else ids
    found = Effect.objects.filter(pk__in=wanted[:AT_ONCE]).select_related("stop")
    shown = list(found.select_related("decided_by").order_by("pk"))
    if not shown:
        return redirect("effects:list")
    if len(shown) == 1:
        return _effect(request, shown[0], form, status=status)
    context = pages.decision_context(shown, form)
    return render(request, "effects/decide.html", context, status=status)


def _counted(count: int) -> str:
    return f"{count} mail{'s' if count != 1 else ''}"
