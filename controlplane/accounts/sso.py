"""Single sign-on by OpenID Connect, for whom an administrator has enrolled.

An identity is bound to its person when it first comes: by an e-mail address that the provider
has verified, and that exactly one person here has. From then on the provider's own id counts.
"""

from typing import Any, NoReturn

import structlog
from allauth.account.internal.flows.login import record_authentication
from allauth.core.exceptions import ImmediateHttpResponse
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from allauth.socialaccount.models import SocialAccount, SocialApp, SocialLogin
from allauth.socialaccount.providers.oauth2.views import (
    OAuth2CallbackView,
    OAuth2LoginView,
    OAuth2View,
)
from allauth.socialaccount.providers.openid_connect.views import (
    OpenIDConnectOAuth2Adapter,
)
from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render, resolve_url
from django.views.decorators.cache import never_cache
from requests import RequestException

from controlplane.accounts import attempts
from controlplane.audit import actions as audit

log = structlog.get_logger()

PROVIDER = "sso"
PROVEN_AT = "sso_auth_time"  # in the session: when the provider last saw a proof
# What comes from elsewhere may lack anything, or be anything.
UNUSABLE = (RequestException, KeyError, TypeError, ValueError)

NOBODY = "Single sign-on knows you, but nobody here has your e-mail address. Ask an administrator to enrol you with it."
NOT_VERIFIED = "Single sign-on does not say that your e-mail address is verified, so it cannot be told whose account this is."
TAKEN = "The account with your e-mail address belongs to another identity of single sign-on. Ask an administrator."
UNUSABLE_ANSWER = "Single sign-on did not answer as it should. Try again; if it lasts, ask an administrator."
CANCELLED = (
    "You were not signed in by single sign-on. Try again, or sign in another way."
)


class RefusedError(Exception):
    """Who comes from the provider is not let in; the text says why."""


class SsoAdapter(DefaultSocialAccountAdapter):
    def pre_social_login(self, request: HttpRequest, sociallogin: SocialLogin) -> None:
        """Find out who it is, or refuse."""
        claims = sociallogin.account.extra_data
        try:
            _check(sociallogin, claims)
            if not sociallogin.is_existing:
                _bind(sociallogin)
        except RefusedError as error:
            refuse(request, str(error))
        proven_at = claims["id_token"].get("auth_time")
        request.session[PROVEN_AT] = proven_at if isinstance(proven_at, int) else 0
        if request.user == sociallogin.user:
            _say_again(request, sociallogin)

    def on_authentication_error(
        self,
        request: HttpRequest,
        provider: Any,
        *args: Any,
        exception: Exception | None = None,
        **kwargs: Any,
    ) -> None:
        log.warning("sso_failed", exception=str(exception))
        refuse(request, CANCELLED)


class SsoOAuth2Adapter(OpenIDConnectOAuth2Adapter):
    def _decode_id_token(self, app: SocialApp, id_token: str) -> dict[str, Any]:
        """Check the signature too: the way to the provider may be less than TLS."""
        self.did_fetch_access_token = False
        return super()._decode_id_token(app, id_token)


@never_cache
def start(request: HttpRequest, provider_id: str) -> HttpResponse:
    return _view(request, OAuth2LoginView)


@never_cache
def callback(request: HttpRequest, provider_id: str) -> HttpResponse:
    return _view(request, OAuth2CallbackView)


def label() -> str:
    """What the button says, if there is one."""
    providers = settings.SOCIALACCOUNT_PROVIDERS.get("openid_connect", {"APPS": []})
    return next((str(app["name"]) for app in providers["APPS"]), "")


def refuse(request: HttpRequest, text: str) -> NoReturn:
    """Say why, and write it down, as often as anybody may try."""
    status = 403
    try:
        attempts.try_once(request, "single sign-on", "", lambda: None, reason=text)
    except attempts.TooManyError as error:
        text, status = error.text, 429
    raise ImmediateHttpResponse(_not_signed_in(request, text, status=status))


def _view(request: HttpRequest, view: type[OAuth2View]) -> HttpResponse:
    if not label():
        raise Http404
    try:
        adapter = SsoOAuth2Adapter(request, PROVIDER)
        response: HttpResponse = view.adapter_view(adapter)(request)
    except UNUSABLE as error:
        log.warning("sso_answer_unusable", error=repr(error))
        return _not_signed_in(request, UNUSABLE_ANSWER, status=503)
    return response


def _not_signed_in(request: HttpRequest, text: str, *, status: int) -> HttpResponse:
    return render(request, "account/sso_refused.html", {"text": text}, status=status)


def _check(sociallogin: SocialLogin, claims: dict[str, Any]) -> None:
    """Both answers must be about the same person, and asked for by somebody who signs in."""
    subjects = {part["sub"] for part in (claims["id_token"], claims["userinfo"])}
    if len(subjects) != 1 or sociallogin.state.get("process") != "login":
        raise RefusedError(UNUSABLE_ANSWER)
    sociallogin.account.extra_data = {}  # nobody needs to keep what it says of people
    if sociallogin.account.pk:
        sociallogin.account.save(update_fields=["extra_data"])


@transaction.atomic
def _bind(sociallogin: SocialLogin) -> None:
    """Give the identity to the one person with its address, unless he has another."""
    verified = [each.email for each in sociallogin.email_addresses if each.verified]
    if not verified:
        raise RefusedError(NOT_VERIFIED)
    found = User.objects.select_for_update().filter(
        email__iexact=verified[0], is_active=True
    )
    if len(found) != 1:
        raise RefusedError(NOBODY)
    user = found[0]
    if SocialAccount.objects.filter(user=user).exists():
        raise RefusedError(TAKEN)
    sociallogin.user = sociallogin.account.user = user
    sociallogin.account.save()
    subject = f"user:{user.get_username()}"
    audit.record(user, "sso_connected", subject, detail={"email": verified[0]})


def _say_again(request: HttpRequest, sociallogin: SocialLogin) -> NoReturn:
    """Who is signed in already goes on where he was, in the same session."""
    assert sociallogin.user is not None
    record_authentication(request, sociallogin.user, "socialaccount")
    then = sociallogin.get_redirect_url(request) or resolve_url("account_me")
    raise ImmediateHttpResponse(HttpResponseRedirect(then))
