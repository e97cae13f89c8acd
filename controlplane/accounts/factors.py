"""Every write to second factors but allauth's own, and the line in the log for each of both."""

from typing import Any

from allauth.core import context
from allauth.mfa.models import Authenticator
from allauth.socialaccount.models import SocialAccount
from django.contrib.auth.models import User
from django.db import transaction

from controlplane.accounts import second_factor, sessions
from controlplane.audit import actions as audit


@transaction.atomic
def forget_factors(user: User, *, actor: User | str) -> int:
    """Remove all of them, and the identity of single sign-on, and end the sessions.

    For somebody who has lost them. Return how many second factors there were.
    """
    mine = Authenticator.objects.filter(user=user)
    count = second_factor.count(user)
    mine.delete()  # each is written down below
    identities, _ = SocialAccount.objects.filter(user=user).delete()
    detail = {"second_factors": count, "identities": identities}
    subject = f"user:{user.get_username()}"
    audit.record(actor, "factors_forgotten", subject, detail=detail)
    sessions.end_other_sessions(user, None, actor=actor)
    return count


def note_added(instance: Authenticator, *, created: bool, **_: Any) -> None:
    if created:
        _note("factor_added", instance)


def note_removed(instance: Authenticator, **_: Any) -> None:
    _note("factor_removed", instance)


@transaction.atomic
def _note(action: str, factor: Authenticator) -> None:
    """By whoever acts: its owner on a page, an administrator, a command."""
    request = context.request
    is_person = request is not None and request.user.is_authenticated
    detail = {"type": factor.type}
    if factor.type == Authenticator.Type.WEBAUTHN:
        detail["name"] = factor.wrap().name
    subject = f"user:{factor.user.get_username()}"
    actor = request.user if is_person else "shell"
    audit.record(actor, action, subject, detail=detail)
