"""The pages of the emergency stops."""

from uuid import UUID

import structlog
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache

from controlplane.accounts.access import SignedInRequest
from controlplane.fragments import wants_fragment
from controlplane.stops import actions, pages
from controlplane.stops.forms import ExtendForm, LiftForm, ReleaseForm, StopForm
from controlplane.stops.models import Stop
from controlplane.stops.retention import (
    MOST_DAYS,
    NotExtendedError,
    extend_retention,
)

log = structlog.get_logger()


@never_cache
def index(request: SignedInRequest) -> HttpResponse:
    """The query may name a stop: ?mode=, target=, as somebody who had to sign in first asked for it."""
    if request.method == "POST":
        return _engage(request)
    if wants_fragment(request):
        return render(request, "stops/_live.html", pages.live_context(request.user))
    form = StopForm(initial=request.GET.dict())
    return _index(request, form)


def _engage(request: SignedInRequest) -> HttpResponse:
    form = StopForm(request.POST)
    if not form.is_valid():
        return _index(request, form, status=422)
    stop = actions.request_stop(**form.stop(), requester=request.user)
    _prove(request, stop)
    return redirect("stops:stop", stop.pk)


def _index(
    request: SignedInRequest, form: StopForm, *, status: int = 200
) -> HttpResponse:
    context = pages.index_context(request.user, form)
    return render(request, "stops/index.html", context, status=status)


@never_cache
def affected(request: SignedInRequest) -> HttpResponse:
    form = StopForm(request.GET)
    field = form.fields["target"]
    target = request.GET.get("target", "")
    known = target if field.valid_value(target) else "everything"  # type: ignore[attr-defined]
    context = {"affected": pages.affected_by(known), "target": known}
    return render(request, "stops/_affected.html", context)


@never_cache
def stop(request: SignedInRequest, stop_id: UUID) -> HttpResponse:
    return _stop(request, get_object_or_404(Stop, pk=stop_id))


def _stop(
    request: SignedInRequest,
    found: Stop,
    form: ReleaseForm | LiftForm | None = None,
    *,
    status: int = 200,
    **said: str,
) -> HttpResponse:
    context = pages.stop_context(found, request.user, form, query=request.GET.dict())
    context |= said
    template = "_stop" if wants_fragment(request) else "stop"
    return render(request, f"stops/{template}.html", context, status=status)


def prove(request: SignedInRequest, stop_id: UUID) -> HttpResponse:
    found = get_object_or_404(Stop.objects.in_force(), pk=stop_id)
    _prove(request, found)
    return redirect("stops:stop", found.pk)


def _prove(request: SignedInRequest, found: Stop) -> None:
    """The stop is in force whatever comes of this: the page says what is still open."""
    if found.proven_at is not None:
        return
    try:
        actions.prove_stop(found, prover=request.user)
    except actions.NotProvenError as error:
        log.warning("stop_not_proven", stop=str(found.pk), reason=str(error))


def release(request: SignedInRequest, stop_id: UUID) -> HttpResponse:
    found = get_object_or_404(Stop, pk=stop_id)
    form = ReleaseForm(request.POST, auto_id=f"release-{stop_id}-%s")
    if not form.is_valid():
        return _stop(request, found, form, status=422)
    reason = form.cleaned_data["reason"]
    ramp_per_s = form.cleaned_data["ramp_per_s"]
    if not actions.release_stop(
        found, reason=reason, releaser=request.user, ramp_per_s=ramp_per_s
    ):
        found.refresh_from_db()
        form.add_error(None, f"{found.released_by} has released it before.")
        return _stop(request, found, form, status=409)
    return redirect("stops:stop", found.pk)


def lift(request: SignedInRequest, stop_id: UUID) -> HttpResponse:
    """End the ramp of a release. Who comes after its end sees that it is over."""
    found = get_object_or_404(Stop, pk=stop_id)
    form = LiftForm(request.POST, auto_id=f"release-{stop_id}-%s")
    if not form.is_valid():
        return _stop(request, found, form, status=422)
    reason = form.cleaned_data["reason"]
    if not actions.finish_release(found, reason=reason, finisher=request.user):
        form.add_error(None, "There is no ramp to end here any more.")
        return _stop(request, found, form, status=409)
    return redirect("stops:stop", found.pk)


def extend(request: SignedInRequest, stop_id: UUID) -> HttpResponse:
    found = get_object_or_404(Stop.objects.not_over(), pk=stop_id, mode=Stop.Mode.SOFT)
    form = ExtendForm(request.POST)
    if not form.is_valid():
        said = f"Say for how many days: 1 to {MOST_DAYS}."
        return _stop(request, found, status=422, not_extended=said)
    days = form.cleaned_data["days"]
    try:
        extend_retention(found, days=days, extender=request.user)
    except NotExtendedError as error:
        return _stop(request, found, status=503, not_extended=str(error))
    return redirect(f"{reverse('stops:stop', args=[found.pk])}#retention")
