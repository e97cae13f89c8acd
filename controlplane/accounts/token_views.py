"""The pages of API tokens: the list, a new one, and ending one."""

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache

from controlplane.accounts import actions, directory
from controlplane.accounts.access import SignedInRequest
from controlplane.accounts.people_forms import (
    MAX_ID,
    TokenFilterForm,
    TokenForm,
    query_of,
)


@never_cache
def index(request: SignedInRequest) -> HttpResponse:
    """A new token is the answer to its form itself: it is shown once and kept nowhere."""
    if request.method != "POST":
        return _index(request, TokenForm(request.user), 200)
    form = TokenForm(request.user, request.POST)
    if not form.is_valid():
        return _index(request, form, 422)
    try:
        token = actions.create_token(
            request.user, **form.cleaned_data, actor=request.user
        )
    except actions.TokenError as error:
        form.add_error(None, str(error))
        return _index(request, form, 422)
    context = {"token": token, **form.cleaned_data}
    return render(request, "accounts/token.html", context)


def _index(request: SignedInRequest, form: TokenForm, status: int) -> HttpResponse:
    filters = TokenFilterForm(request.GET)
    wanted = filters.cleaned_data if filters.is_valid() else None
    context = {
        "form": form,
        "filters": filters,
        "query": query_of(request, "before"),
        "may_add": request.user.has_perm("accounts.add_apitoken"),
        "sees_all": request.user.has_perm(directory.SEE_ALL),
        **directory.tokens_context(request.user, wanted),
    }
    if wanted is None:
        status = 422
    return render(request, "accounts/tokens.html", context, status=status)


def revoke(request: SignedInRequest, token_id: int) -> HttpResponse:
    visible = directory.tokens_for(request.user)
    token = get_object_or_404(visible, pk=min(token_id, MAX_ID))
    ended = actions.revoke_token(token.pk, actor=request.user)
    messages.success(request, "Revoked." if ended else "It had been revoked before.")
    return redirect("accounts:tokens")
