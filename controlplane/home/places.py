"""The places of the product, declared once: the shell's row, the palette and the tests read this."""

from typing import Any

import msgspec
from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser, User
from django.urls import reverse

from controlplane.accounts import table


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """within: how the names of the routes begin that belong to it. says: what its count counts."""

    slug: str
    name: str
    route: str
    within: tuple[str, ...] = ()
    says: str = ""

    @property
    def url(self) -> str:
        return reverse(self.route)

    def is_for(self, user: User | AnonymousUser | AbstractBaseUser) -> bool:
        if self.route == DEMO:
            return bool(settings.DEMO)
        needs = table.ROUTES[self.route]["GET"]
        return needs == table.PUBLIC or user.has_perm(needs)  # type: ignore[union-attr]

    def has(self, view_name: str) -> bool:
        """Whether a page belongs to it."""
        return view_name.startswith(self.within) or view_name == self.route


DEMO = "chat:demo"
QUEUE, EFFECTS, DEAD = "queue", "effects", "dead"
PLACES = (
    Place(slug="room", name="Control room", route="home:index"),
    Place(
        slug=QUEUE,
        name="Queue",
        route="moderation:queue",
        within=("moderation:",),
        says="waiting",
    ),
    Place(
        slug=EFFECTS,
        name="Mail",
        route="effects:list",
        within=("effects:",),
        says="need a person",
    ),
    Place(slug="rules", name="Rules", route="rules:list", within=("rules:",)),
    Place(
        slug="stops",
        name="Stops",
        route="stops:index",
        within=("stops:", "incidents:"),
    ),
    Place(
        slug=DEAD,
        name="Dead letters",
        route="deadletters:list",
        within=("deadletters:",),
        says="open",
    ),
    Place(slug="people", name="People", route="accounts:people", within=("accounts:",)),
    Place(slug="teams", name="Teams", route="teams:list", within=("teams:",)),
    Place(slug="demo", name="Demo", route=DEMO),
)
STOPS = "stops:index"  # where the lamp leads


def places_for(user: User | AnonymousUser) -> list[Place]:
    return [place for place in PLACES if place.is_for(user)]


def stops_url(user: User | AnonymousUser) -> str:
    """Return where the lamp leads, or nothing for those who may not go there."""
    may: Any = user.has_perm(table.ROUTES[STOPS]["GET"])
    return reverse(STOPS) if may else ""
