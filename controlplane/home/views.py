"""The control room, and the pages that machines read."""

from django.http import HttpRequest, HttpResponse, HttpResponseForbidden, JsonResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from prometheus_client import CONTENT_TYPE_LATEST

from controlplane.accounts.access import SignedInRequest
from controlplane.accounts.tokens import may_read_metrics
from controlplane.home import health, metrics
from controlplane.home.room import read_room
from controlplane.home.services import watch


@never_cache
def index(request: SignedInRequest) -> HttpResponse:
    return _room(request, "home/index.html")


@never_cache
def room(request: SignedInRequest) -> HttpResponse:
    return _room(request, "home/_room_live.html")


def _room(request: SignedInRequest, template: str) -> HttpResponse:
    """?workers=all lists each of them, however many there are."""
    has_all = request.GET.get("workers") == "all"
    found = read_room(request.user, has_all_workers=has_all)
    return render(request, template, {"room": found, "has_all_workers": has_all})


@never_cache
def healthz(request: HttpRequest) -> HttpResponse:
    return JsonResponse({"ok": True})


@never_cache
def readyz(request: HttpRequest) -> HttpResponse:
    missing = health.missing(watch.read())
    return JsonResponse(
        {"ready": not missing, "missing": missing}, status=503 if missing else 200
    )


@never_cache
def metrics_page(request: HttpRequest) -> HttpResponse:
    if not may_read_metrics(request):
        return HttpResponseForbidden("A token with the scope runtime:read is needed.\n")
    return HttpResponse(metrics.exposition(), content_type=CONTENT_TYPE_LATEST)
