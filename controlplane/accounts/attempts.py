"""Bounds how often anybody may try a password or a code, and writes down what failed.

Each try is counted before it is made, in a transaction of its own, so that many at once count
as many; one that was right is given back. Nothing prolongs a wait: it ends when it was said to.
"""

import hashlib
import unicodedata
from collections.abc import Callable, Iterator
from datetime import datetime
from ipaddress import ip_address, ip_network
from math import ceil
from typing import NamedTuple, TypeVar

from allauth.account.adapter import get_adapter
from allauth.usersessions.models import UserSession
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db import connection, transaction
from django.db.models import F
from django.http import HttpRequest
from django.utils import timezone

from controlplane.accounts.models import Attempts
from controlplane.audit import actions as audit

T = TypeVar("T")

IPV6_PREFIX = 64  # what one customer of a provider gets


class Limit(NamedTuple):
    tries: int
    seconds: int


PER_NAME_AND_ADDRESS = Limit(5, 5 * 60)
PER_ADDRESS = Limit(30, 5 * 60)
# Of a name from all addresses, but for those from which its owner is signed in.
PER_NAME = Limit(20, 60 * 60)

_COUNT = """
INSERT INTO accounts_attempts AS a (key, count, ends_at)
VALUES (%(key)s, 1, now() + make_interval(secs => %(seconds)s))
ON CONFLICT (key) DO UPDATE SET
  count = CASE WHEN a.ends_at <= now() THEN 1 ELSE a.count + 1 END,
  ends_at = CASE WHEN a.ends_at <= now() THEN excluded.ends_at ELSE a.ends_at END
RETURNING count, ends_at
"""


class Taken(NamedTuple):
    """One try, as it was counted under one key."""

    key: str
    is_last: bool
    ends_at: datetime


class TooManyError(ValidationError):
    """Whoever it is must wait. The text says until when."""

    def __init__(self, ends_at: datetime) -> None:
        self.ends_at = ends_at
        minutes = ceil(self.seconds / 60)
        wait = "in one minute" if minutes == 1 else f"in {minutes} minutes"
        self.text = (
            f"Too many wrong attempts. Try again {wait}, at {ends_at:%H:%M} UTC."
        )
        super().__init__(self.text)

    @property
    def seconds(self) -> int:
        return max(1, ceil((self.ends_at - timezone.now()).total_seconds()))


def try_once(
    request: HttpRequest,
    kind: str,
    name: str,
    check: Callable[[], T | None],
    *,
    reason: str = "",
) -> T | None:
    """Run the check of a secret as one try. It fails by returning nothing or a ValidationError."""
    taken = _take(request, kind, name)
    try:
        found = check()
    except ValidationError:
        _note_failure(request, kind, name, taken, reason)
        raise
    if found:
        _give_back(taken)
    else:
        _note_failure(request, kind, name, taken, reason)
    return found


def forget_attempts() -> int:
    """Remove what counts no more; return how many."""
    count, _ = Attempts.objects.filter(ends_at__lte=timezone.now()).delete()
    return count


@transaction.atomic
def _take(request: HttpRequest, kind: str, name: str) -> list[Taken]:
    """Count a try under each key, or under none of them. Keys are locked in one order."""
    return [_count(key, limit) for key, limit in _limits(request, kind, name)]


def _limits(request: HttpRequest, kind: str, name: str) -> Iterator[tuple[str, Limit]]:
    address = address_of(request)
    name = unicodedata.normalize("NFKC", name).casefold()
    if name:
        yield _key(kind, name, _network(address)), PER_NAME_AND_ADDRESS
    yield _key(kind, "", _network(address)), PER_ADDRESS
    if name and not _is_known(name, address):
        yield _key(kind, name, ""), PER_NAME


def _key(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _count(key: str, limit: Limit) -> Taken:
    with connection.cursor() as cursor:
        cursor.execute(_COUNT, {"key": key, "seconds": limit.seconds})
        [count, ends_at] = cursor.fetchone()
    if count > limit.tries:
        raise TooManyError(ends_at)
    return Taken(key, count == limit.tries, ends_at)


def _give_back(taken: list[Taken]) -> None:
    """Not wiped: who signs in as himself now and then must not get tries at others by it."""
    for each in taken:
        Attempts.objects.filter(key=each.key, ends_at=each.ends_at, count__gt=0).update(
            count=F("count") - 1
        )


@transaction.atomic
def _note_failure(
    request: HttpRequest, kind: str, name: str, taken: list[Taken], reason: str
) -> None:
    """Write it down, without a name that is nobody's: it may be a password in the wrong field."""
    user = User.objects.filter(username__iexact=name).first() if name else None
    actor = user or "nobody"
    subject = f"user:{user.get_username()}" if user else "user:unknown"
    detail = {"by": kind, "address": address_of(request)}
    because = {"reason": reason} if reason else {}
    audit.record(actor, "sign_in_failed", subject, detail=detail | because)
    ends_at = max((each.ends_at for each in taken if each.is_last), default=None)
    if ends_at is not None:
        detail["until"] = f"{ends_at:%Y-%m-%d %H:%M:%S} UTC"
        audit.record(actor, "sign_in_throttled", subject, detail=detail)


def address_of(request: HttpRequest) -> str:
    return str(get_adapter().get_client_ip(request))


def _network(address: str) -> str:
    prefix = IPV6_PREFIX if ip_address(address).version == 6 else 32  # noqa: PLR2004
    return str(ip_network(f"{address}/{prefix}", strict=False))


def _is_known(name: str, address: str) -> bool:
    """Whether its owner is signed in from there: strangers elsewhere cannot keep him out."""
    return UserSession.objects.filter(user__username__iexact=name, ip=address).exists()
