"""What the pages of people show of them. Reads only."""

from typing import Any

from allauth.mfa.models import Authenticator
from allauth.socialaccount.models import SocialAccount
from django.contrib.auth.hashers import UNUSABLE_PASSWORD_PREFIX
from django.contrib.auth.models import User
from django.db.models import Count, Exists, Max, OuterRef, Q, QuerySet
from django.db.models.functions import Greatest, Now

from controlplane.accounts.models import ApiToken, Enrolment
from controlplane.accounts.roles import ADMINISTRATOR, ROLES
from controlplane.accounts.second_factor import SECOND
from controlplane.audit.models import Entry

PAGE = 50
ENTRIES = 10
NO_ROLE = "none"
SEE_ALL = "auth.view_user"
_FACTORS = Authenticator.objects.filter(type__in=SECOND)
# Of an account that nobody has come in by.
_NEVER_IN = Q(last_login=None, password__startswith=UNUSABLE_PASSWORD_PREFIX)
STATES = {
    "active": Q(is_active=True) & ~_NEVER_IN,
    "invited": Q(is_active=True) & _NEVER_IN,
    "disabled": Q(is_active=False),
}


def administrators() -> QuerySet[User]:
    """Those who can act as one: neither disabled, nor invited and never here."""
    return User.objects.filter(STATES["active"], groups__name=ADMINISTRATOR)


def roles_of(user: User) -> list[str]:
    """Return one role, or none; more only for who was given more in another way."""
    return sorted(group.name for group in user.groups.all() if group.name in ROLES)


def state_of(user: User) -> str:
    if not user.is_active:
        return "disabled"
    has_been_in = user.last_login is not None or user.has_usable_password()
    return "active" if has_been_in else "invited"


def people() -> QuerySet[User]:
    """With all that a row shows, in the same number of queries for one or for many."""
    tokens = Q(apitoken__revoked_at=None, apitoken__expires_at__gt=Now())
    return User.objects.prefetch_related("groups", "teams").annotate(
        tokens=Count("apitoken", filter=tokens, distinct=True),
        seen_at=Greatest("last_login", Max("usersession__last_seen_at")),
        has_factor=Exists(_FACTORS.filter(user=OuterRef("pk"))),
        has_identity=Exists(SocialAccount.objects.filter(user=OuterRef("pk"))),
    )


def matching(*, words: str, role: str, state: str) -> QuerySet[User]:
    found = people()
    for word in words.split():
        found = found.filter(
            Q(username__icontains=word)
            | Q(first_name__icontains=word)
            | Q(last_name__icontains=word)
            | Q(email__icontains=word)
        )
    if role == NO_ROLE:
        found = found.exclude(groups__name__in=ROLES)
    elif role:
        found = found.filter(groups__name=role)
    return found.filter(STATES[state]) if state else found


def page_of(wanted: dict[str, str] | None) -> dict[str, Any]:
    """One page of those who match, by name; nobody if the filter cannot be understood."""
    if wanted is None:
        return {"people": [], "after": ""}
    after = wanted.pop("after")
    found = matching(**wanted).order_by("username")
    page = list((found.filter(username__gt=after) if after else found)[: PAGE + 1])
    is_more, listed = len(page) > PAGE, page[:PAGE]
    return {
        "people": [_row(user) for user in listed],
        "after": listed[-1].username if is_more else "",
        "is_first": not after,
    }


def _row(user: User) -> dict[str, Any]:
    return {
        "person": user,
        "roles": roles_of(user),
        "teams": sorted(team.name for team in user.teams.all()),
        "state": state_of(user),
    }


def person_context(user: User, *, before: int | None) -> dict[str, Any]:
    fresh = people().get(pk=user.pk)
    name = user.get_username()
    entries = Entry.objects.filter(Q(actor=name) | Q(subject=f"user:{name}"))
    if before:
        entries = entries.filter(pk__lt=before)
    page = list(entries.order_by("-pk")[: ENTRIES + 1])
    is_more, listed = len(page) > ENTRIES, page[:ENTRIES]
    return {
        **_row(fresh),
        "slugs": [team.slug for team in fresh.teams.all()],
        "enrolment": Enrolment.objects.filter(user=user, used_at=None).first(),
        "entries": listed,
        "older": listed[-1].pk if is_more else None,
        "is_latest": not before,
        "live_tokens": ApiToken.objects.usable().filter(user=user).order_by("-pk"),
    }


def tokens_for(user: User) -> QuerySet[ApiToken]:
    """Return the tokens that somebody may see: his own, or those of all."""
    tokens = ApiToken.objects.select_related("user")
    return tokens if user.has_perm(SEE_ALL) else tokens.filter(user=user)


def tokens_context(user: User, wanted: dict[str, Any] | None) -> dict[str, Any]:
    """One page of the tokens that match, the newest first."""
    if wanted is None:
        return {"tokens": [], "before": None}
    found = tokens_for(user)
    if not wanted["ended"]:
        found = found.filter(pk__in=ApiToken.objects.usable().values("pk"))
    if words := wanted["words"]:
        found = found.filter(
            Q(user__username__icontains=words) | Q(name__icontains=words)
        )
    if wanted["before"]:
        found = found.filter(pk__lt=wanted["before"])
    page = list(found.order_by("-pk")[: PAGE + 1])
    is_more, listed = len(page) > PAGE, page[:PAGE]
    return {
        "tokens": listed,
        "before": listed[-1].pk if is_more else None,
        "is_first": not wanted["before"],
    }
