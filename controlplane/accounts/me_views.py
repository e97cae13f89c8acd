"""What is about oneself: password, factors, and where one is signed in."""

from typing import Any

from allauth.account import views
from allauth.mfa.models import Authenticator
from allauth.socialaccount.models import SocialAccount
from allauth.usersessions.models import UserSession
from django.contrib.auth.models import User
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse_lazy
from django.views.decorators.cache import never_cache

from controlplane.accounts import second_factor, sessions, sso
from controlplane.accounts.access import SignedInRequest
from controlplane.accounts.sign_in import AnswersWithStatus, knows_passkeys


@never_cache
def me(request: SignedInRequest) -> HttpResponse:
    user = request.user
    context = {
        "roles": [group.name for group in user.groups.order_by("name")],
        "lacks_factor": second_factor.lacks(user),
        "knows_passkeys": knows_passkeys(request),
        "sessions": _sessions(user),
        "sso": sso.label(),
        "identity": SocialAccount.objects.filter(user=user).first(),
    }
    return render(request, "account/me.html", context | _factors(user))


def end_sessions(request: SignedInRequest) -> HttpResponse:
    """End the session that was chosen, or all but this one."""
    chosen = request.POST.get("session", "")
    if chosen.isdecimal():
        sessions.end_session(request.user, int(chosen))
    elif chosen == "others":
        key = request.session.session_key
        sessions.end_other_sessions(request.user, key, actor=request.user)
    return redirect("account_me")


class ChangePasswordView(AnswersWithStatus, views.PasswordChangeView):
    success_url = reverse_lazy("account_me")


class SetPasswordView(AnswersWithStatus, views.PasswordSetView):
    """For who has none yet."""

    success_url = reverse_lazy("account_me")


def _sessions(user: User) -> list[dict[str, Any]]:
    found = UserSession.objects.purge_and_list(user)
    found.sort(key=lambda each: (not each.is_current(), -each.last_seen_at.timestamp()))
    return [{"row": each, "browser": sessions.browser_of(each)} for each in found]


def _factors(user: User) -> dict[str, Any]:
    mine = Authenticator.objects.filter(user=user).order_by("created_at", "pk")
    by_type = {
        type_: [f for f in mine if f.type == type_] for type_ in Authenticator.Type
    }
    codes = next(iter(by_type[Authenticator.Type.RECOVERY_CODES]), None)
    return {
        "app": next(iter(by_type[Authenticator.Type.TOTP]), None),
        "passkeys": [_passkey(f) for f in by_type[Authenticator.Type.WEBAUTHN]],
        "codes_left": len(codes.wrap().get_unused_codes()) if codes else None,
    }


def _passkey(factor: Authenticator) -> dict[str, Any]:
    passkey = factor.wrap()
    return {
        "row": factor,
        "name": passkey.name,
        "is_passwordless": passkey.is_passwordless,
    }
