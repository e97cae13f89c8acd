"""Where allauth asks us: who may come in, and in which words it speaks."""

from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from django.http import HttpRequest
from django.utils.http import url_has_allowed_host_and_scheme


class AccountAdapter(DefaultAccountAdapter):
    error_messages = DefaultAccountAdapter.error_messages | {
        "username_password_mismatch": "This is not a user name with its password. Passwords tell capital from small letters.",
        "incorrect_password": "This is not your password.",
        "enter_current_password": "This is not your password.",
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

    def add_message(
        self, request: HttpRequest, level: int, *args: Any, **kwargs: Any
    ) -> None:
        """Pass on what went wrong; what went well is to be seen on the page."""
        if kwargs.get("message"):
            super().add_message(request, level, *args, **kwargs)
