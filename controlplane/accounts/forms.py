"""Forms of signing in: allauth's, in our words."""

from typing import Any

from allauth.account import forms as account
from django.forms import Form


def _say(form: Form, **labels: str) -> None:
    """Name the fields as we do. A placeholder that repeats the label helps nobody."""
    for name, label in labels.items():
        field = form.fields[name]
        field.label, field.help_text = label, ""
        field.widget.attrs.pop("placeholder", None)


class SignInForm(account.LoginForm):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        _say(self, login="User name", password="Password")  # noqa: S106
        self.fields["login"].widget.attrs["autocomplete"] = "username webauthn"


class ReauthenticateForm(account.ReauthenticateForm):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        _say(self, password="Password")  # noqa: S106
