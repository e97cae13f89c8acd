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
    return render(request, "home/index.html", {"room": read_room(request.user)})


@never_cache
def room(request: SignedInRequest) -> HttpResponse:
    return render(request, "home/_room_live.html", {"room": read_room(request.user)})


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
