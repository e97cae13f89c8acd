"""The demo page: a car dealer's site with the widget on it."""

from uuid import uuid4

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render

from agents.topics import TIERS
from controlplane.chat import tokens


def demo(request: HttpRequest) -> HttpResponse:
    """A visitor keeps one identity per tier for as long as the browser session lasts."""
    if not settings.DEMO:
        raise Http404("The demo page is switched off.")
    wanted = request.GET.get("tier", "free")
    tier = wanted if wanted in TIERS else "free"
    visitor = request.session.setdefault("demo_visitor", uuid4().hex)
    token = tokens.issue(f"demo-{visitor}", tier=tier, conversation=tier)
    return render(request, "chat/demo.html", {"token": token, "tier": tier})
