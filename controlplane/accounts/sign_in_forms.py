"""Forms of signing in and of one's factors: allauth's, in our words, each try counted."""

from typing import Any

from allauth.account import forms as account
from allauth.core import context
from allauth.mfa.base import forms as code
from allauth.mfa.totp import forms as totp
from allauth.mfa.webauthn import forms as webauthn
from django.core.exceptions import ValidationError
from django.db import transaction
from django.forms import CharField, Form

from controlplane.accounts.attempts import try_once
from controlplane.audit import actions as audit


class Labelled(Form):
    """Names the fields as we do. A placeholder that repeats the label helps nobody."""

    labels: dict[str, str] = {}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, label in self.labels.items():
            field = self.fields[name]
            field.label, field.help_text = label, ""
            if name == "code":
                field.widget.attrs["inputmode"] = "numeric"
            field.widget.attrs.pop("placeholder", None)


class SignInForm(Labelled, account.LoginForm):
    labels = {"login": "User name", "password": "Password"}


class PasswordAgainForm(Labelled, account.ReauthenticateForm):
    labels = {"password": "Password"}


class ChangePasswordForm(Labelled, account.ChangePasswordForm):
    labels = {
        "oldpassword": "Your password now",
        "password1": "New password",
        "password2": "New password, once more",
    }

    def clean_oldpassword(self) -> str:
        assert self.user is not None
        name, check = self.user.get_username(), super().clean_oldpassword
        return str(try_once(context.request, "password", name, check))


class SetPasswordForm(Labelled, account.SetPasswordForm):
    labels = {"password1": "Password", "password2": "Password, once more"}


# Codes of an authenticator app, and recovery codes


class CodeForm(Labelled, code.AuthenticateForm):
    labels = {"code": "Code"}

    def clean_code(self) -> str:
        name, check = self.user.get_username(), super().clean_code
        return str(try_once(context.request, "code", name, check))


class CodeAgainForm(CodeForm, code.ReauthenticateForm):
    save = code.ReauthenticateForm.save


class NewAppForm(Labelled, totp.ActivateTOTPForm):
    labels = {"code": "The six digits that the app shows now"}

    def clean_code(self) -> str:
        name, check = self.user.get_username(), super().clean_code
        return str(try_once(context.request, "code", name, check))


# Passkeys

UNUSABLE = "This passkey could not be used. Try again, or choose another way."


class PasskeyForm(webauthn.AuthenticateWebAuthnForm):
    def clean_credential(self) -> Any:
        name = self.user.get_username() if self.user else ""
        return try_once(context.request, "passkey", name, self._check)

    def _check(self) -> Any:
        try:
            return super().clean_credential()
        except ValidationError:
            raise ValidationError(UNUSABLE) from None


class PasskeyAgainForm(PasskeyForm):
    reauthenticated = True


class PasskeySignInForm(PasskeyForm, webauthn.LoginWebAuthnForm):
    passwordless = True


class NewPasskeyForm(Labelled, webauthn.AddWebAuthnForm):
    labels = {
        "name": "Name, to tell it from others",
        "passwordless": "It signs me in by itself, without my password",
    }

    name = CharField(required=False, max_length=60)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["passwordless"].initial = True

    def clean(self) -> dict[str, Any]:
        try:
            return super().clean()
        except (ValidationError, ValueError):  # fido2 reads what browsers send
            raise ValidationError(UNUSABLE) from None


class PasskeyNameForm(Labelled, webauthn.EditWebAuthnForm):
    labels = {"name": "Name"}
    name = CharField(max_length=60)

    @transaction.atomic
    def save(self) -> Any:
        saved = super().save()
        user = self.instance.user
        detail = {"name": self.cleaned_data["name"]}
        subject = f"user:{user.get_username()}"
        audit.record(user, "factor_renamed", subject, detail=detail)
        return saved
