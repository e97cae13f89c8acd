"""The live part of the shell, which every page asks for, and what its palette finds."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache

from controlplane.accounts.access import SignedInRequest
from controlplane.home import lamp
from controlplane.home.context import Shell
from controlplane.home.jump import find_turns, is_other_trace


@never_cache
def shell(request: HttpRequest) -> HttpResponse:
    """Who has signed out meanwhile is told so, and keeps what he has on his page."""
    if request.user.is_authenticated:
        return render(request, "_shell_live.html")
    context = {"shell": Shell(lamp=lamp.SIGNED_OUT)}
    return render(request, "_shell_live.html", context)


@never_cache
def jump(request: SignedInRequest) -> HttpResponse:
    asked = request.GET.get("q", "")
    turns = find_turns(asked)
    other = asked.strip().lower() if not turns and is_other_trace(asked) else ""
    return render(request, "home/_found.html", {"turns": turns, "other": other})
