"""The pages of evaluations."""

from typing import Any
from uuid import UUID

import msgspec
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache

from controlplane.accounts.access import SignedInRequest
from controlplane.evaluations import actions
from controlplane.evaluations.models import Evaluation
from controlplane.fragments import wants_fragment
from controlplane.rulebook import evaluating
from controlplane.rulebook.evaluating import TextsForm
from controlplane.rulebook.files import FileError
from guardrails.actions import InvalidRulesError


@never_cache
def evaluations(request: SignedInRequest) -> HttpResponse:
    """What there is; posted with labelled texts, one is started."""
    if request.method != "POST":
        return _list(request, TextsForm())
    form = TextsForm(request.POST)
    if not form.is_valid():
        return _list(request, form, status=422)
    try:
        return _start(request, form)
    except FileError as error:
        return _list(request, form, error=error, status=422)
    except InvalidRulesError as error:
        return _list(request, form, problems=error.problems, status=422)
    except actions.BusyError as error:
        return _list(request, form, problems=[str(error)], busy=error.job, status=409)


def _start(request: SignedInRequest, form: TextsForm) -> HttpResponse:
    try:
        rule_set = form.rule_set()
    except msgspec.MsgspecError:
        form.add_error("rules", "This version of the product cannot read it.")
        return _list(request, form, status=422)
    if rule_set is None:
        form.add_error("rules", "Nothing is in force. Publish the draft first.")
        return _list(request, form, status=422)
    given = form.cleaned_data
    job = actions.start_evaluation(
        rule_set,
        form.rows(rule_set),
        file=given["file"],
        rules=given["rules"],
        by=request.user,
    )
    return redirect("rules:evaluation", job.pk)


def _list(
    request: SignedInRequest, form: TextsForm, *, status: int = 200, **why: Any
) -> HttpResponse:
    context = evaluating.list_context(request.user, form, **why)
    template = "_evaluations" if wants_fragment(request) else "evaluations"
    return render(request, f"rules/{template}.html", context, status=status)


@never_cache
def evaluation(request: SignedInRequest, key: UUID) -> HttpResponse:
    context = evaluating.job_context(_find(key), request.user)
    template = "_evaluation" if wants_fragment(request) else "evaluation"
    return render(request, f"rules/{template}.html", context)


def cancel(request: SignedInRequest, key: UUID) -> HttpResponse:
    actions.cancel_evaluation(key, by=request.user)
    if not wants_fragment(request):
        return redirect("rules:evaluation", key)
    context = evaluating.job_context(_find(key), request.user)
    return render(request, "rules/_evaluation.html", context)


def delete(request: SignedInRequest, key: UUID) -> HttpResponse:
    actions.delete_evaluation(key, by=request.user)
    return redirect("rules:evaluations")


@never_cache
def report(request: SignedInRequest, key: UUID) -> HttpResponse:
    job = _find(key)
    actions.take_report(job, by=request.user)
    answer = HttpResponse(evaluating.report(job), content_type="application/json")
    answer["Content-Disposition"] = 'attachment; filename="evaluation.json"'
    return answer


def _find(key: UUID) -> Evaluation:
    found = Evaluation.objects.select_related("started_by").defer("texts")
    return get_object_or_404(found, pk=key)
