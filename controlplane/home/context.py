"""What the shell of every page shows: the places with their counts, the lamp, the band, the person."""

from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec
from django.contrib.auth.models import AnonymousUser, User
from django.db import DatabaseError
from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from controlplane.accounts import second_factor
from controlplane.deadletters.models import Letter
from controlplane.effects.models import Effect
from controlplane.home import lamp, places
from controlplane.home.lamp import Band, Lamp
from moderation.models import Approval

Count = Callable[[Any], int]  # what waits at a place, for a person

ROLE_WORDS = {"lead": "lead moderator", "admin": "administrator"}


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """A place as this page shows it."""

    place: places.Place
    is_here: bool
    count: int | None


class Person(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    username: str
    initials: str
    roles: str


class Shell(msgspec.Struct, frozen=True, kw_only=True):
    places: list[Shown] = []
    lamp: Lamp | None = None
    band: Band | None = None
    stops_url: str = ""
    person: Person | None = None


def shell(request: HttpRequest) -> dict[str, Any]:
    """Read when a template asks for it: most fragments do not."""
    return {"shell": SimpleLazyObject(partial(read_shell, request))}


def read_shell(request: HttpRequest) -> Shell:
    """A page never fails because of its shell: without a database the lamp says so."""
    # There is no user on pages for what middleware refuses.
    user = getattr(request, "user", None) or AnonymousUser()
    match = request.resolver_match
    try:
        return _read(user, match.view_name if match else "")
    except DatabaseError:
        return Shell(lamp=lamp.UNKNOWN)


def _read(user: User | AnonymousUser, here: str) -> Shell:
    if not isinstance(user, User):
        return Shell(places=_shown(user, here, {}))
    if second_factor.lacks(user):  # nothing is open to them yet but their account
        return Shell(person=_person(user))
    stops = lamp.stops_in_force()
    return Shell(
        places=_shown(user, here, COUNTS),
        lamp=lamp.lamp_of(stops),
        band=lamp.band_of(stops, user),
        stops_url=places.stops_url(user),
        person=_person(user),
    )


def _shown(
    user: User | AnonymousUser, here: str, counts: dict[str, Count]
) -> list[Shown]:
    return [
        Shown(
            place=place,
            is_here=place.has(here),
            count=counts[place.slug](user) if place.slug in counts else None,
        )
        for place in places.places_for(user)
    ]


COUNTS: dict[str, Count] = {
    places.QUEUE: lambda user: Approval.objects.for_user(user).pending().count(),
    places.EFFECTS: lambda _: Effect.objects.needing_a_person().count(),
    places.DEAD: lambda _: Letter.objects.open().count(),
}


def _person(user: User) -> Person:
    groups = user.groups.order_by("name").values_list("name", flat=True)
    name = user.get_full_name() or user.get_username()
    roles = ", ".join(ROLE_WORDS.get(group, group) for group in groups)
    words = name.split()
    initials = words[0][0] + words[-1][0] if len(words) > 1 else name[:2]
    return Person(
        name=name,
        username=user.get_username(),
        initials=initials,
        roles=roles or "no role yet",
    )
