"""The entrance: signing in, and saying again who one is."""

from typing import Any

from allauth.account import views
from django.forms import Form
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache

from controlplane.accounts import recent


class AnswersWithStatus:
    """A form that is refused is a 422."""

    def form_invalid(self, form: Form) -> HttpResponse:
        response: HttpResponse = super().form_invalid(form)  # type: ignore[misc]
        response.status_code = 422
        return response


class SignInView(AnswersWithStatus, views.LoginView):
    """By user name and password."""


class ReauthenticateView(AnswersWithStatus, views.ReauthenticateView):
    """By password, before what is dangerous."""


@never_cache
def go_on(request: HttpRequest) -> HttpResponse:
    """The form that was sent when they were asked who they are, for one more press."""
    kept = recent.take_kept(request)
    if kept is None:
        return redirect("home:index")
    context: dict[str, Any] = {"kept": kept}
    return render(request, "account/go_on.html", context)
