"""The entrance: signing in, and saying again who one is."""

from contextlib import suppress
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from allauth.account import views
from allauth.mfa.base import views as code
from allauth.mfa.models import Authenticator
from allauth.mfa.webauthn import views as webauthn
from django.forms import Form
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from controlplane.accounts import recent, sso
from controlplane.accounts.attempts import TooManyError


class AnswersWithStatus:
    """A form that is refused is a 422; who must wait gets a 429 that says how long."""

    def form_invalid(self, form: Any) -> HttpResponse:
        response: HttpResponse = super().form_invalid(form)  # type: ignore[misc]
        response.status_code = 422
        for errors in form.errors.as_data().values():
            for error in errors:
                if isinstance(error, TooManyError):
                    response.status_code = 429
                    response.headers["Retry-After"] = str(error.seconds)
        return response


class SignInView(AnswersWithStatus, views.LoginView):
    """By user name and password, or on to another way."""

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        found = super().get_context_data(**kwargs)
        return found | {
            "knows_passkeys": knows_passkeys(self.request),
            "sso": sso.label(),
        }


class SecondStepView(AnswersWithStatus, code.AuthenticateView):
    """By a code or a passkey, after the password."""

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        found = super().get_context_data(**kwargs)
        types = set(
            Authenticator.objects.filter(user=self.stage.login.user).values_list(
                "type", flat=True
            )
        )
        return found | {
            "has_app": Authenticator.Type.TOTP in types,
            "has_passkeys": Authenticator.Type.WEBAUTHN in types,
        }


class PasskeySignInView(webauthn.LoginWebAuthnView):
    """By a passkey alone. What goes wrong is said on the page of signing in."""


class PasswordAgainView(AnswersWithStatus, views.ReauthenticateView):
    pass


class CodeAgainView(AnswersWithStatus, code.ReauthenticateView):
    pass


class PasskeyAgainView(AnswersWithStatus, webauthn.ReauthenticateWebAuthnView):
    def form_invalid(self, form: Form) -> HttpResponse:
        return self.render_to_response(self.get_context_data(form=form), status=422)


@never_cache
def go_on(request: HttpRequest) -> HttpResponse:
    """The form that was sent when they were asked who they are, for one more press."""
    kept = recent.take_kept(request)
    if kept is None:
        return redirect("home:index")
    context: dict[str, Any] = {"kept": kept}
    return render(request, "account/go_on.html", context)


def knows_passkeys(request: HttpRequest) -> bool:
    """Browsers keep passkeys for names: at an address of numbers there are none."""
    host = urlsplit(f"//{request.get_host()}").hostname or ""
    with suppress(ValueError):
        ip_address(host)
        return False
    return True


def change_elsewhere(request: HttpRequest, *_: Any) -> HttpResponse:
    """In place of a page of Django's admin, which bounds no tries and ends no sessions."""
    return redirect("account_change_password")


@require_POST
def sign_out_elsewhere(request: HttpRequest, *_: Any) -> HttpResponse:
    response: HttpResponse = views.logout(request)
    return response
