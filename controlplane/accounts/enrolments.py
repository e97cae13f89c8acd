"""Every write to enrolments: the links by which people choose a password, once."""

import secrets
from datetime import timedelta

import msgspec
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone

from controlplane.accounts.actions import set_teams, sha256_of
from controlplane.accounts.models import Enrolment
from controlplane.accounts.people import add_person, end_sessions, lock, lock_other
from controlplane.audit import actions as audit

HOURS = 72


class About(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of somebody who is added."""

    name: str = ""
    email: str = ""
    role: str = ""
    teams: list[str] = []


class LinkError(Exception):
    """A link that lets nobody in; the text says why."""


@transaction.atomic
def enrol(username: str, *, about: About, actor: User | str) -> tuple[User, str]:
    """Add somebody and make the link; return both."""
    user = add_person(
        username, name=about.name, email=about.email, role=about.role, actor=actor
    )
    set_teams(user, about.teams, editor=actor)
    return user, make_link(user.pk, actor=actor)


@transaction.atomic
def make_link(person_id: int, *, actor: User | str) -> str:
    """Return the code of a new link, the only one that counts. It can be read here and nowhere else."""
    user = lock_other(person_id, actor)
    if not user.is_active:
        raise LinkError(f"{user.get_username()} is disabled. Enable the account first.")
    code = secrets.token_urlsafe(32)
    now = timezone.now()
    fields = {
        "sha256": sha256_of(code),
        "created_at": now,
        "expires_at": now + timedelta(hours=HOURS),
        "used_at": None,
    }
    _, is_first = Enrolment.objects.update_or_create(user=user, defaults=fields)
    audit.record(
        actor,
        "enrolment_link_made",
        f"user:{user.get_username()}",
        detail={"hours": HOURS, "replaces_another": not is_first},
    )
    return code


def person_of(code: str) -> User:
    """Return whose link it is; LinkError if it lets nobody in any more."""
    return _usable(Enrolment.objects.filter(sha256=sha256_of(code)).first()).user


def choose_password(code: str, password: str) -> User:
    """Use the link up. Whoever was signed in by an older password no longer is."""
    return _use_up(code, make_password(password))  # slow by intent, so before any lock


@transaction.atomic
def _use_up(code: str, hashed: str) -> User:
    lock()
    enrolment = _usable(Enrolment.objects.filter(sha256=sha256_of(code)).first())
    enrolment.used_at = timezone.now()
    enrolment.save(update_fields=["used_at"])
    user = enrolment.user
    user.password = hashed
    user.save(update_fields=["password"])
    ended = end_sessions(user)
    audit.record(
        user,
        "password_chosen",
        f"user:{user.get_username()}",
        detail={"by": "enrolment link", "sessions_ended": ended},
    )
    return user


def _usable(enrolment: Enrolment | None) -> Enrolment:
    if enrolment is None:
        raise LinkError("It is not complete, or a newer one has taken its place.")
    if enrolment.used_at is not None:
        raise LinkError("A password was chosen with it; a link works once.")
    if enrolment.has_expired:
        raise LinkError(f"It has expired; a link is valid for {HOURS} hours.")
    if not enrolment.user.is_active:
        raise LinkError("The account is disabled.")
    return enrolment
