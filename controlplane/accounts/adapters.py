"""Where allauth asks us: who may come in, how often they may try, and in which words it speaks."""

import base64
import hashlib
import secrets
from typing import Any
from urllib.parse import urlencode

import structlog
from allauth.account.adapter import DefaultAccountAdapter
from allauth.account.authentication import get_authentication_records
from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.mfa.models import Authenticator
from allauth.socialaccount.models import SocialAccount
from cryptography.fernet import Fernet, InvalidToken
from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import AnonymousUser, User
from django.core.exceptions import ImproperlyConfigured
from django.db import transaction
from django.http import HttpRequest
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme

from controlplane.accounts import attempts, second_factor, sessions, sso
from controlplane.audit import actions as audit

log = structlog.get_logger()


class AccountAdapter(DefaultAccountAdapter):
    error_messages = DefaultAccountAdapter.error_messages | {
        "username_password_mismatch": "This is not a user name with its password. Passwords tell capital from small letters.",
        "incorrect_password": "This is not your password.",
        "enter_current_password": "This is not your password.",
    }
    ways = {
        "reauthenticate": "Use your password",
        "mfa_reauthenticate": "Use a code of your authenticator app, or a recovery code",
        "mfa_reauthenticate:webauthn": "Use a passkey",
    }

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        """Administrators enrol people."""
        return False

    def is_safe_url(self, url: str) -> bool:
        """After signing in people stay on this host, whatever other hosts we serve."""
        return url_has_allowed_host_and_scheme(
            url, {self.request.get_host()}, require_https=self.request.is_secure()
        )

    def get_login_stages(self) -> list[str]:
        return ["allauth.mfa.stages.AuthenticateStage"]

    def get_reauthentication_methods(
        self, user: AbstractBaseUser | AnonymousUser
    ) -> list[dict[str, Any]]:
        methods = super().get_reauthentication_methods(user)
        return [
            *(method | {"description": self.ways[method["id"]]} for method in methods),
            *sso_again(user),
        ]

    def get_client_ip(self, request: HttpRequest) -> str:
        """What our proxies say; a request that came past them says nothing of others."""
        try:
            return super().get_client_ip(request)
        except ImproperlyConfigured:
            return str(request.META["REMOTE_ADDR"])

    def authenticate(
        self, request: HttpRequest, **credentials: Any
    ) -> AbstractBaseUser | None:
        def check() -> AbstractBaseUser | None:
            return super(AccountAdapter, self).authenticate(request, **credentials)

        name = credentials.get("username", "")
        return attempts.try_once(request, "password", name, check)

    @transaction.atomic
    def login(self, request: HttpRequest, user: AbstractBaseUser) -> None:
        super().login(request, user)
        assert isinstance(user, User)
        steps = get_authentication_records(request, user)
        by = [step.get("type", step["method"]) for step in steps]
        detail = {"by": by, "address": attempts.address_of(request)}
        audit.record(user, "signed_in", f"user:{user.get_username()}", detail=detail)

    @transaction.atomic
    def logout(self, request: HttpRequest) -> None:
        if isinstance(request.user, User):
            name = request.user.get_username()
            audit.record(request.user, "signed_out", f"user:{name}")
        super().logout(request)

    @transaction.atomic
    def set_password(self, user: AbstractBaseUser, password: str) -> None:
        """Whoever knew the old one is signed out, wherever that is, and his sockets close."""
        super().set_password(user, password)
        assert isinstance(user, User)
        subject = f"user:{user.get_username()}"
        audit.record(user, "password_changed", subject)
        key = self.request.session.session_key
        sessions.end_other_sessions(user, key, actor=user)

    def add_message(
        self, request: HttpRequest, level: int, *args: Any, **kwargs: Any
    ) -> None:
        """Pass on what went wrong; what went well is to be seen on the page."""
        if kwargs.get("message"):
            super().add_message(request, level, *args, **kwargs)


class MFAAdapter(DefaultMFAAdapter):
    error_messages = DefaultMFAAdapter.error_messages | {
        "incorrect_code": "This code is wrong, too old, or was used before. Wait for the next one.",
        "cannot_delete_authenticator": "Your role needs a second factor, and this is your only one. Add another one first.",
    }

    def encrypt(self, text: str) -> str:
        return _fernet().encrypt(text.encode()).decode()

    def decrypt(self, encrypted_text: str) -> str:
        """A secret that cannot be read is like one that nobody knows: no code fits it."""
        try:
            return _fernet().decrypt(encrypted_text.encode()).decode()
        except InvalidToken:
            log.error("second_factor_unreadable", hint="INTERLOCK_FACTOR_SECRET")  # noqa: TRY400
            return base64.b32encode(secrets.token_bytes(20)).decode()

    def can_delete_authenticator(self, authenticator: Authenticator) -> bool:
        is_second = authenticator.type in second_factor.SECOND
        user = authenticator.user
        is_only = is_second and second_factor.count(user) == 1
        return not (is_only and second_factor.must_have(user))

    def generate_authenticator_name(
        self,
        user: AbstractBaseUser,
        type: Authenticator.Type,  # noqa: A002  allauth's name for it
    ) -> str:
        count = Authenticator.objects.filter(user_id=user.pk, type=type).count()
        return f"Passkey {count + 1}"

    def _get_site_name(self) -> str:
        return "Interlock"


def sso_again(user: AbstractBaseUser | AnonymousUser) -> list[dict[str, Any]]:
    """The provider is asked for a new proof, and must say when it saw it."""
    assert isinstance(user, User)
    if not (sso.label() and SocialAccount.objects.filter(user=user).exists()):
        return []
    asked = urlencode({"auth_params": "prompt=login&max_age=300"})
    url = f"{reverse('openid_connect_login', kwargs={'provider_id': sso.PROVIDER})}?{asked}"
    return [{"id": "sso", "description": f"Use {sso.label()}", "url": url}]


def _fernet() -> Fernet:
    digest = hashlib.sha256(settings.FACTOR_SECRET.encode()).digest()
    return Fernet(base64.urlsafe_b64encode(digest))
