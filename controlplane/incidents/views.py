"""The report of a stop: a page, the same for print, and as JSON."""

from uuid import UUID

from django.http import HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.cache import never_cache

from controlplane.accounts.access import SignedInRequest
from controlplane.incidents import actions, pages
from controlplane.incidents.document import document_of
from controlplane.incidents.forms import QueryForm
from controlplane.stops.models import Stop

PRINTED = 2_000  # replies on paper; JSON has all of them


@never_cache
def report(request: SignedInRequest, stop_id: UUID) -> HttpResponse:
    form = QueryForm(request.GET)
    context = pages.report_context(_stop(stop_id), request.user, form)
    status = 200 if form.is_valid() else 422
    return render(request, "incidents/report.html", context, status=status)


@never_cache
def printed(request: SignedInRequest, stop_id: UUID) -> HttpResponse:
    form, stop = QueryForm(request.GET), _stop(stop_id)
    if not form.is_valid():
        return report(request, stop_id)
    taken = actions.export_report(
        stop, form.query(), form="print", size=PRINTED, by=request.user
    )
    context = pages.print_context(taken)
    return render(request, "incidents/print.html", context)


@never_cache
def export(request: SignedInRequest, stop_id: UUID) -> HttpResponse:
    form, stop = QueryForm(request.GET), _stop(stop_id)
    if not form.is_valid():
        return report(request, stop_id)
    taken = actions.export_report(stop, form.query(), form="json", by=request.user)
    return HttpResponse(
        document_of(taken),
        content_type="application/json",
        headers={
            "Content-Disposition": f'attachment; filename="report-{stop.pk}.json"'
        },
    )


def _stop(stop_id: UUID) -> Stop:
    return get_object_or_404(Stop, pk=stop_id)
