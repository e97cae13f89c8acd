"""The pages of the rules."""

from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache

from controlplane.accounts.access import SignedInRequest
from controlplane.rulebook import listing
from controlplane.rulebook.published import published_context


@never_cache
def rules(request: SignedInRequest) -> HttpResponse:
    context = listing.list_context(request.GET, request.user)
    status = 200 if context["is_ok"] else 422
    return render(request, "rules/list.html", context, status=status)


@never_cache
def published(request: SignedInRequest) -> HttpResponse:
    return render(request, "rules/_published.html", published_context())
