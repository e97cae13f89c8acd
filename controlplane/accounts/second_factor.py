"""Who must have a second factor, and who has one."""

from allauth.mfa.models import Authenticator
from django.conf import settings
from django.contrib.auth.models import AnonymousUser, User

from controlplane.accounts.roles import ROLES
from controlplane.environment import SettingError

SECOND = (Authenticator.Type.TOTP, Authenticator.Type.WEBAUTHN)


def check_roles() -> None:
    """A role that is misspelt would need none, and nobody would notice."""
    for role in settings.SECOND_FACTOR_ROLES:
        if role not in ROLES:
            raise SettingError(
                f"INTERLOCK_SECOND_FACTOR_ROLES names {role!r}; there are: {', '.join(ROLES)}"
            )


def must_have(user: User) -> bool:
    """By a role that INTERLOCK_SECOND_FACTOR_ROLES names; superusers have all roles."""
    roles = settings.SECOND_FACTOR_ROLES
    if not roles:
        return False
    return user.is_superuser or user.groups.filter(name__in=roles).exists()


def count(user: User) -> int:
    return Authenticator.objects.filter(user=user, type__in=SECOND).count()


def lacks(user: User | AnonymousUser) -> bool:
    """Whether they may open nothing but what sets one up."""
    return isinstance(user, User) and must_have(user) and not count(user)
