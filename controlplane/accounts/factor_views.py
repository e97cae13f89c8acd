"""Pages for an authenticator app, passkeys and recovery codes: allauth's, within ours."""

from typing import Any

from allauth.mfa.adapter import get_adapter
from allauth.mfa.recovery_codes import views as recovery
from allauth.mfa.totp import views as totp
from allauth.mfa.webauthn import views as webauthn
from django.db import transaction
from django.forms import Form
from django.http import HttpResponse
from django.urls import reverse_lazy
from django.utils.decorators import method_decorator
from django.views.decorators.cache import never_cache
from qrcode.main import QRCode

from controlplane.accounts.sign_in import AnswersWithStatus, knows_passkeys

ME = reverse_lazy("account_me")
CODES = reverse_lazy("mfa_view_recovery_codes")


class FactorView(AnswersWithStatus):
    """What changes a factor and the line about it in the log are one transaction."""

    success_url: Any = ME

    @method_decorator([never_cache, transaction.atomic])
    def dispatch(self, *args: Any, **kwargs: Any) -> HttpResponse:
        response: HttpResponse = super().dispatch(*args, **kwargs)  # type: ignore[misc]
        return response


class NewAppView(FactorView, totp.ActivateTOTPView):
    template_name = "mfa/totp/activate_form.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        found = super().get_context_data(**kwargs)
        secret = found["form"].secret
        groups = [secret[at : at + 4] for at in range(0, len(secret), 4)]
        return found | {"secret": " ".join(groups), "qr": qr_of(found["totp_url"])}

    def get_success_url(self) -> str:
        return str(CODES if self.did_generate_recovery_codes else ME)


class RemoveAppView(FactorView, totp.DeactivateTOTPView):
    pass


class NewPasskeyView(FactorView, webauthn.AddWebAuthnView):
    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        found = super().get_context_data(**kwargs)
        return found | {"knows_passkeys": knows_passkeys(self.request)}

    def get_success_url(self) -> str:
        return str(CODES if self.did_generate_recovery_codes else ME)


class RenamePasskeyView(FactorView, webauthn.EditWebAuthnView):
    pass


class RemovePasskeyView(FactorView, webauthn.RemoveWebAuthnView):
    def form_valid(self, form: Form) -> HttpResponse:
        adapter = get_adapter()
        if not adapter.can_delete_authenticator(self.object):
            form.add_error(
                None, adapter.validation_error("cannot_delete_authenticator")
            )
            return self.form_invalid(form)
        return super().form_valid(form)


class NewCodesView(FactorView, recovery.GenerateRecoveryCodesView):
    success_url = CODES


class CodesView(recovery.ViewRecoveryCodesView):
    """Shows them once. The page itself holds the file to keep."""


def qr_of(text: str) -> dict[str, Any]:
    """The squares of a code as one path, and how many there are along an edge."""
    code = QRCode[Any](border=4)
    code.add_data(text)
    rows = code.get_matrix()
    squares = [
        f"M{x} {y}h1v1h-1z"
        for y, row in enumerate(rows)
        for x, is_dark in enumerate(row)
        if is_dark
    ]
    return {"size": len(rows), "path": "".join(squares)}
