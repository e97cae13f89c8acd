"""A correction: written, confirmed with the list of who gets it, and watched until it has arrived."""

from datetime import datetime
from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache

from controlplane.accounts.access import SignedInRequest
from controlplane.chat.corrections import InvalidCorrectionError
from controlplane.clock import database_now
from controlplane.fragments import wants_fragment
from controlplane.incidents import actions, pages
from controlplane.incidents.corrections import Draft, Progress, draft_of, of_id
from controlplane.incidents.forms import CorrectionForm, QueryForm, SendForm
from controlplane.locks import LockTimeoutError
from controlplane.stops.models import Stop
from moderation.actions import GuardrailError

LOCKED = "A conversation is being written to, so not all of them were sent again. Send the rest again in a moment."


@never_cache
def correct(request: SignedInRequest, stop_id: UUID) -> HttpResponse:
    """Write it, or with a form that is in order: show who gets it. The query says who, as in the report."""
    draft = _draft(request, stop_id, as_of=None)
    if request.method != "POST":
        return _page(request, "correct", draft, CorrectionForm())
    form = CorrectionForm(request.POST)
    if not form.is_valid() or "edit" in request.POST:
        status = 200 if form.is_valid() else 422
        return _page(request, "correct", draft, form, status=status)
    try:
        overrider = request.user if form.cleaned_data["override"] else None
        actions.check_for_all(form.cleaned_data["text"], draft.to, overrider=overrider)
    except GuardrailError as error:
        form.add_error("text", str(error))
        return _page(request, "correct", draft, form, status=422)
    return _page(request, "confirm", draft, form)


@never_cache
def send(request: SignedInRequest, stop_id: UUID) -> HttpResponse:
    form = SendForm(request.POST)
    if not form.is_valid():
        draft = _draft(request, stop_id, as_of=None)
        return _page(request, "correct", draft, form, status=422)
    draft = _draft(request, stop_id, as_of=form.cleaned_data["as_of"])
    if len(draft.to) != form.cleaned_data["expected"]:
        return _page(request, "confirm", draft, form, status=409)
    try:
        sent = actions.send_correction(draft, author=request.user, **form.correction())
    except (GuardrailError, InvalidCorrectionError) as error:
        form.add_error(error.field if error.field in form.fields else None, str(error))
        return _page(request, "correct", draft, form, status=422)
    return redirect("incidents:correction", stop_id, sent.pk)


@never_cache
def correction(
    request: SignedInRequest, stop_id: UUID, correction_id: UUID
) -> HttpResponse:
    return _correction(request, _progress(stop_id, correction_id), stop_id)


def confirm(
    request: SignedInRequest, stop_id: UUID, correction_id: UUID
) -> HttpResponse:
    found = _progress(stop_id, correction_id)
    try:
        actions.confirm_refused(found.correction, by=request.user)
    except LockTimeoutError:
        found = _progress(stop_id, correction_id)
        return _correction(request, found, stop_id, problem=LOCKED, status=503)
    return redirect("incidents:correction", stop_id, correction_id)


def _correction(
    request: SignedInRequest,
    found: Progress,
    stop_id: UUID,
    *,
    problem: str = "",
    status: int = 200,
) -> HttpResponse:
    stop = get_object_or_404(Stop, pk=stop_id)
    context = pages.correction_context(stop, found, request.user)
    template = "_correction" if wants_fragment(request) else "correction"
    return render(
        request,
        f"incidents/{template}.html",
        context | {"problem": problem},
        status=status,
    )


def _progress(stop_id: UUID, correction_id: UUID) -> Progress:
    found = of_id(stop_id, correction_id)
    if found is None:
        raise Http404
    return found


def _draft(request: HttpRequest, stop_id: UUID, *, as_of: datetime | None) -> Draft:
    asked, stop = QueryForm(request.GET), get_object_or_404(Stop, pk=stop_id)
    if not asked.is_valid():
        raise Http404
    return draft_of(stop, asked.query(), as_of or database_now())


def _page(
    request: SignedInRequest,
    name: str,
    draft: Draft,
    form: CorrectionForm,
    *,
    status: int = 200,
) -> HttpResponse:
    context = pages.draft_context(draft, form, request.user)
    return render(request, f"incidents/{name}.html", context, status=status)
