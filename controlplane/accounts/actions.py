"""Every write to teams and tokens. Commands and views call these."""

import hashlib
import secrets
from collections.abc import Iterable
from datetime import timedelta

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from controlplane.accounts.models import ApiToken, Team
from controlplane.audit import actions as audit

PREFIX = "ilk_"
DAYS = 90
MAX_DAYS = 366
MAX_NAME = 100
USE_IS_NOTED_EVERY = timedelta(minutes=1)  # not with each request


class TokenError(Exception):
    """A token that must not be made; the text says why."""


@transaction.atomic
def save_team(team: Team, *, editor: User | str) -> None:
    """Add a team, or change it; the log says what it was called before."""
    before = Team.objects.select_for_update().filter(pk=team.pk).first()
    team.save()
    detail = {"name": team.name}
    if before is not None:
        detail |= {"was": before.slug, "was_name": before.name}
    audit.record(
        editor,
        "team_added" if before is None else "team_changed",
        f"team:{team.slug}",
        detail=detail,
    )


@transaction.atomic
def set_teams(user: User, slugs: Iterable[str], *, editor: User | str) -> None:
    """Let a person be in these teams and no others. Locks the person."""
    _lock(user)
    teams = list(Team.objects.filter(slug__in=set(slugs)))
    before = _teams_of(user)
    after = sorted(team.slug for team in teams)
    if before == after:
        return
    user.teams.set(teams)
    audit.record(
        editor,
        "teams_changed",
        f"user:{user.get_username()}",
        detail={"teams": after, "were": before},
    )


@transaction.atomic
def join_team(team: Team, user: User, *, editor: User | str) -> None:
    _lock(user)
    set_teams(user, {*_teams_of(user), team.slug}, editor=editor)


@transaction.atomic
def leave_team(team: Team, user: User, *, editor: User | str) -> None:
    _lock(user)
    set_teams(user, {*_teams_of(user)} - {team.slug}, editor=editor)


def _lock(user: User) -> None:
    User.objects.select_for_update().get(pk=user.pk)


def _teams_of(user: User) -> list[str]:
    return sorted(user.teams.values_list("slug", flat=True))


def sha256_of(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


@transaction.atomic
def create_token(
    user: User,
    *,
    scopes: Iterable[str],
    name: str = "",
    days: int = DAYS,
    actor: User | str,
) -> str:
    """Return a new token. It can be read here and nowhere else: only its hash is stored."""
    wanted = sorted(set(scopes))
    name = name.strip()
    _check(user, wanted, name, days)
    token = PREFIX + secrets.token_urlsafe(32)  # 32 bytes are 43 characters
    row = ApiToken.objects.create(
        user=user,
        name=name,
        sha256=sha256_of(token),
        scopes=wanted,
        expires_at=timezone.now() + timedelta(days=days),
    )
    audit.record(
        actor,
        "token_created",
        f"token:{row.pk}",
        detail={
            "user": user.get_username(),
            "name": name,
            "scopes": wanted,
            "days": days,
        },
    )
    return token


@transaction.atomic
def revoke_token(token_id: int, *, actor: User | str) -> bool:
    """End a token now; return whether it was this call that did. One that has ended stays as it is."""
    ended = ApiToken.objects.filter(pk=token_id, revoked_at=None).update(
        revoked_at=timezone.now()
    )
    if ended:
        audit.record(actor, "token_revoked", f"token:{token_id}")
    return bool(ended)


def note_use(token: ApiToken) -> None:
    """Let people see which tokens are in use. Costs nothing if it was noted a moment ago."""
    now = timezone.now()
    long_ago = now - USE_IS_NOTED_EVERY
    if token.last_used_at is not None and token.last_used_at > long_ago:
        return
    noted_before = Q(last_used_at=None) | Q(last_used_at__lte=long_ago)
    ApiToken.objects.filter(noted_before, pk=token.pk).update(last_used_at=now)


def _check(user: User, scopes: list[str], name: str, days: int) -> None:
    unknown = [scope for scope in scopes if scope not in ApiToken.Scope.values]
    if unknown:
        known = ", ".join(ApiToken.Scope.values)
        raise TokenError(f"no scope {', '.join(unknown)}; there are: {known}")
    if not scopes:
        raise TokenError("a token needs at least one scope")
    if len(name) > MAX_NAME or not name.isprintable():
        raise TokenError(f"a name has at most {MAX_NAME} printable characters")
    if not 1 <= days <= MAX_DAYS:
        raise TokenError(f"a token lasts 1 to {MAX_DAYS} days, not {days}")
    if not user.is_active:
        raise TokenError(f"{user.get_username()} is not active")
