"""The dead letters pages: the list, one letter, and the progress of a job over many."""

from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache

from controlplane.accounts.access import SignedInRequest
from controlplane.deadletters import actions, bulk, pages
from controlplane.deadletters.forms import DecisionForm, FilterForm, ManyForm
from controlplane.deadletters.models import Job, Letter
from controlplane.deadletters.sinks import MAX_BIGINT
from controlplane.fragments import wants_fragment


@never_cache
def letters(request: SignedInRequest) -> HttpResponse:
    """The filter is the query, also when the form of what was chosen is posted."""
    if request.method == "POST":
        return _decide_on_many(request)
    context = pages.list_context(request.GET, request.user)
    return _list(request, context, status=200 if context["is_ok"] else 422)


def _decide_on_many(request: SignedInRequest) -> HttpResponse:
    form, filters = ManyForm(request.POST), FilterForm(request.GET)
    if form.is_valid():
        given = form.cleaned_data
        try:
            job = bulk.start_job(
                form.chosen_from(filters.letters()),
                verb=Job.Verb(given["verb"]),
                reason=given["reason"],
                by=request.user,
            )
        except bulk.NothingChosenError:
            form.add_error("letters", "None of these letters is there any more.")
        else:
            return redirect("deadletters:job", job.pk)
    context = pages.list_context(request.GET, request.user, form)
    return _list(request, context, status=422)


def _list(
    request: HttpRequest, context: dict[str, object], *, status: int
) -> HttpResponse:
    template = "_list" if wants_fragment(request) else "list"
    return render(request, f"deadletters/{template}.html", context, status=status)


@never_cache
def letter(request: SignedInRequest, letter_id: int) -> HttpResponse:
    found = get_object_or_404(
        Letter.objects.select_related("decided_by", "sent"),
        pk=min(letter_id, MAX_BIGINT),  # PostgreSQL has no larger ones
    )
    if request.method == "POST":
        return _decide(request, found)
    return _letter(request, found)


def _decide(request: SignedInRequest, found: Letter) -> HttpResponse:
    form = DecisionForm(request.POST)
    if not form.is_valid():
        return _letter(request, found, form, status=422)
    act = (
        actions.redrive
        if form.cleaned_data["verb"] == Job.Verb.REDRIVE
        else actions.discard
    )
    try:
        act(found.pk, by=request.user, reason=form.cleaned_data["reason"])
    except actions.AlreadyDecidedError as error:
        form.add_error(None, str(error))
        return _letter(request, error.letter, form, status=409)
    except actions.RefusedError as error:
        form.add_error(None, str(error))
        return _letter(request, found, form, status=422)
    return redirect("deadletters:letter", found.pk)


def _letter(
    request: SignedInRequest,
    found: Letter,
    form: DecisionForm | None = None,
    *,
    status: int = 200,
) -> HttpResponse:
    context = pages.letter_context(found, request.user, form)
    template = "_letter" if wants_fragment(request) else "letter"
    return render(request, f"deadletters/{template}.html", context, status=status)


@never_cache
def job(request: SignedInRequest, job_id: UUID) -> HttpResponse:
    return _job(request, job_id)


def cancel(request: SignedInRequest, job_id: UUID) -> HttpResponse:
    bulk.cancel_job(job_id, by=request.user)
    if wants_fragment(request):
        return _job(request, job_id)
    return redirect("deadletters:job", job_id)


def _job(request: SignedInRequest, job_id: UUID) -> HttpResponse:
    found = get_object_or_404(Job.objects.select_related("started_by"), pk=job_id)
    context = pages.job_context(found, request.user)
    template = "_job" if wants_fragment(request) else "job"
    return render(request, f"deadletters/{template}.html", context)
