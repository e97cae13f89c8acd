"""Every write to people: who there is, what role they have, whether they may come in."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from allauth.usersessions.models import UserSession
from django.contrib.auth.models import Group, User
from django.contrib.sessions.models import Session
from django.db import transaction
from django.utils import timezone

from controlplane.accounts.directory import administrators, roles_of
from controlplane.accounts.factors import forget_factors
from controlplane.accounts.models import Enrolment
from controlplane.accounts.roles import ADMINISTRATOR, ROLES
from controlplane.audit import actions as audit

CHANGE = "auth.change_user"
STAFF = {ADMINISTRATOR}  # who opens Django's admin


class PeopleError(Exception):
    """A change that must not be made; the text says why."""


class TakenError(PeopleError):
    """Somebody else has the name or the address; field says which."""

    def __init__(self, field: str, text: str) -> None:
        super().__init__(text)
        self.field = field


class OwnAccountError(PeopleError):
    def __init__(self) -> None:
        super().__init__(
            "This is your own account: another administrator has to do it."
        )


class LastAdministratorError(PeopleError):
    def __init__(self, name: str) -> None:
        super().__init__(
            f"{name} is the last active administrator. Make somebody else one first."
        )


class NoLongerAllowedError(PeopleError):
    def __init__(self) -> None:
        super().__init__("Your role has just changed: you may no longer do this.")


@transaction.atomic
def add_person(
    username: str, *, name: str, email: str, role: str, actor: User | str
) -> User:
    """Add somebody who cannot sign in yet: a link lets him choose a password."""
    _lock(actor)
    _check_free(username=username, email=email)
    user = User(username=username, first_name=name, email=email)
    user.set_unusable_password()
    user.is_staff = role in STAFF
    user.save()
    if role:
        user.groups.add(Group.objects.get(name=role))
    detail = {"name": name, "email": email, "role": role}
    _log(actor, "person_added", user, detail)
    return user


@transaction.atomic
def change_person(person_id: int, *, name: str, email: str, actor: User | str) -> bool:
    """Return whether that changed anything."""
    _lock(actor)
    user = User.objects.get(pk=person_id)
    was = {"name": user.get_full_name(), "email": user.email}
    now = {"name": name, "email": email}
    if was == now:
        return False
    _check_free(email=email, besides=user)
    user.first_name, user.last_name, user.email = name, "", email
    user.save(update_fields=["first_name", "last_name", "email"])
    _log(actor, "person_changed", user, {"was": was, "now": now})
    return True


@transaction.atomic
def set_role(person_id: int, role: str, *, actor: User | str) -> bool:
    """Give somebody this role and nothing besides, or none. Return whether that changed anything."""
    user = lock_other(person_id, actor)
    was = _rights_of(user)
    if was == _rights(role):
        return False
    with _one_administrator_left(user):
        user.groups.set(Group.objects.filter(name=role))
        user.user_permissions.clear()
        user.is_superuser, user.is_staff = False, role in STAFF
        user.save(update_fields=["is_superuser", "is_staff"])
    _log(actor, "role_changed", user, {"was": was, "now": _rights(role)})
    return True


@transaction.atomic
def disable(person_id: int, *, actor: User | str) -> bool:
    """Let nobody in by this account, tokens and open pages included. Return whether it was open."""
    user = lock_other(person_id, actor)
    if not user.is_active:
        return False
    with _one_administrator_left(user):
        user.is_active = False
        user.save(update_fields=["is_active"])
    Enrolment.objects.filter(user=user).delete()
    sessions = end_sessions(user)
    _log(actor, "person_disabled", user, {"sessions_ended": sessions})
    return True


@transaction.atomic
def enable(person_id: int, *, actor: User | str) -> bool:
    user = lock_other(person_id, actor)
    if user.is_active:
        return False
    user.is_active = True
    user.save(update_fields=["is_active"])
    _log(actor, "person_enabled", user, {})
    return True


@transaction.atomic
def sign_out(person_id: int, *, actor: User | str) -> int:
    """End all sessions of a person, and so close the pages that are open. Return how many."""
    _lock(actor)
    user = User.objects.get(pk=person_id)
    ended = end_sessions(user)
    _log(actor, "signed_out_everywhere", user, {"sessions_ended": ended})
    return ended


@transaction.atomic
def remove_factors(person_id: int, *, actor: User | str) -> bool:
    """Let somebody who has lost the device in by password alone. Return whether there was one."""
    user = lock_other(person_id, actor)
    had_some = bool(forget_factors(user, actor=actor))
    end_sessions(user)
    return had_some


def end_sessions(user: User) -> int:
    """Within somebody's transaction, whose audit row tells of it."""
    alive = Session.objects.filter(expire_date__gt=timezone.now())
    own = [
        session.pk
        for session in alive.iterator()
        if session.get_decoded().get("_auth_user_id") == str(user.pk)
    ]
    Session.objects.filter(pk__in=own).delete()
    UserSession.objects.filter(user=user).delete()
    return len(own)


def lock() -> None:
    """Let one change of people through at a time."""
    Group.objects.select_for_update().get(name=ADMINISTRATOR)


def _lock(actor: User | str) -> None:
    """Also let only him through who may still change people.

    Of two administrators who demote each other at once, the second finds that he is none.
    """
    lock()
    if isinstance(actor, User):
        fresh = User.objects.get(pk=actor.pk)
        if not fresh.has_perm(CHANGE):
            raise NoLongerAllowedError


def lock_other(person_id: int, actor: User | str) -> User:
    _lock(actor)
    if isinstance(actor, User) and actor.pk == person_id:
        raise OwnAccountError
    return User.objects.get(pk=person_id)


def _check_free(
    *, username: str = "", email: str = "", besides: User | None = None
) -> None:
    """Names that differ only in capitals would be the same to who signs in."""
    others = User.objects.exclude(pk=besides.pk) if besides else User.objects.all()
    if username and others.filter(username__iexact=username).exists():
        raise TakenError("username", f"There is already somebody called {username}.")
    if email and others.filter(email__iexact=email).exists():
        raise TakenError("email", f"Somebody else has the address {email}.")


@contextmanager
def _one_administrator_left(user: User) -> Iterator[None]:
    had_some = administrators().exists()
    yield
    if had_some and not administrators().exists():
        raise LastAdministratorError(user.get_username())


def _rights(role: str) -> dict[str, Any]:
    assert role in ROLES or not role
    return {"roles": [role] if role else [], "superuser": False, "own": []}


def _rights_of(user: User) -> dict[str, Any]:
    return {
        "roles": roles_of(user),
        "superuser": user.is_superuser,
        "own": sorted(user.user_permissions.values_list("codename", flat=True)),
    }


def _log(actor: User | str, action: str, user: User, detail: dict[str, Any]) -> None:
    audit.record(actor, action, f"user:{user.get_username()}", detail=detail)
