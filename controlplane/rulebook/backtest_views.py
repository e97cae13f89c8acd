"""The pages of backtests."""

from typing import Any
from uuid import UUID

from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache

from controlplane.accounts.access import SignedInRequest
from controlplane.backtests import actions
from controlplane.backtests.models import Backtest
from controlplane.fragments import wants_fragment
from controlplane.rulebook import backtesting, editing
from controlplane.rulebook.backtesting import SizeForm
from controlplane.rulebook.forms import KINDS, RuleForm
from guardrails import actions as guardrails
from guardrails.models import Rule


@never_cache
def backtests(request: SignedInRequest) -> HttpResponse:
    """What there is; posted with a number, one of the draft is started."""
    if request.method != "POST":
        return _list(request, SizeForm())
    form = SizeForm(request.POST)
    if not form.is_valid():
        return _list(request, form, status=422)
    try:
        job = actions.start_backtest(
            guardrails.draft(), size=form.wanted, by=request.user
        )
    except (actions.BacktestError, guardrails.InvalidRulesError) as error:
        return _list(request, form, status=_status(error), **_why(error))
    return redirect("rules:backtest", job.pk)


def _list(
    request: SignedInRequest, form: SizeForm, *, status: int = 200, **why: Any
) -> HttpResponse:
    context = backtesting.list_context(request.user, form, **why)
    template = "_backtests" if wants_fragment(request) else "backtests"
    return render(request, f"rules/{template}.html", context, status=status)


def backtest_rule(request: SignedInRequest) -> HttpResponse:
    """Start one of the draft with what stands in a rule's editor, which is not saved by it."""
    kind = request.POST.get("kind", "")
    if kind not in KINDS:
        return redirect("rules:list")
    row, current = editing.find(request.POST.get("slug", ""), kind)
    form, size = RuleForm(kind, request.POST, rule=current), SizeForm(request.POST)
    if not form.is_valid() or form.rule is None or not size.is_valid():
        return _editor(request, row, form, size=size, status=422)
    try:
        job = actions.start_backtest(
            backtesting.with_rule(form.rule),
            size=size.wanted,
            by=request.user,
            rule=form.rule.id,
        )
    except (actions.BacktestError, guardrails.InvalidRulesError) as error:
        why = _why(error)
        return _editor(request, row, form, size=size, status=_status(error), **why)
    return redirect("rules:backtest", job.pk)


def _editor(
    request: SignedInRequest,
    row: Rule | None,
    form: RuleForm,
    *,
    status: int,
    **more: Any,
) -> HttpResponse:
    context = editing.rule_context(row, form, request.user) | more
    return render(request, "rules/rule.html", context, status=status)


def _status(error: Exception) -> int:
    return 409 if isinstance(error, actions.BusyError) else 422


def _why(error: Exception) -> dict[str, Any]:
    if isinstance(error, guardrails.InvalidRulesError):
        return {"problems": error.problems}
    job = error.job if isinstance(error, actions.BusyError) else None
    return {"problems": [str(error)], "busy": job}


@never_cache
def backtest(request: SignedInRequest, key: UUID) -> HttpResponse:
    return _job(request, _find(key))


def _job(
    request: SignedInRequest, job: Backtest, *, status: int = 200, **why: Any
) -> HttpResponse:
    context = backtesting.job_context(job, request.user) | why
    template = "_backtest" if wants_fragment(request) else "backtest"
    return render(request, f"rules/{template}.html", context, status=status)


def cancel(request: SignedInRequest, key: UUID) -> HttpResponse:
    actions.cancel_backtest(key, by=request.user)
    if wants_fragment(request):
        return _job(request, _find(key))
    return redirect("rules:backtest", key)


def again(request: SignedInRequest, key: UUID) -> HttpResponse:
    job = _find(key)
    try:
        fresh = actions.start_again(job, by=request.user)
    except (actions.BacktestError, guardrails.InvalidRulesError) as error:
        return _job(request, job, status=_status(error), **_why(error))
    return redirect("rules:backtest", fresh.pk)


@never_cache
def samples(request: SignedInRequest, key: UUID) -> HttpResponse:
    job = _find(key)
    given = request.GET.get("page", "")
    page = int(given) if given.isascii() and given.isdecimal() and len(given) < 4 else 0  # noqa: PLR2004
    read = actions.read_samples(job, page=page, by=request.user)
    context = backtesting.samples_context(job, read, page)
    return render(request, "rules/backtest_samples.html", context)


def _find(key: UUID) -> Backtest:
    found = Backtest.objects.select_related("started_by").defer("draft_body")
    return get_object_or_404(found, pk=key)
