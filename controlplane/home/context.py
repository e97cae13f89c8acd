"""What the shell of every page shows: the lamp, and how many answers wait."""

from typing import Any

import msgspec
from django.conf import settings
from django.contrib.auth.models import User
from django.db import DatabaseError
from django.http import HttpRequest

from controlplane.stops.models import Stop
from moderation.models import Approval


class Lamp(msgspec.Struct, frozen=True):
    """state: running, soft, hard or unknown."""

    state: str
    label: str


RUNNING = Lamp("running", "Running")
UNKNOWN = Lamp("unknown", "State unknown")
_QUEUE = "moderation.view_approval"


def demo(request: HttpRequest) -> dict[str, Any]:
    """The demo has a place in the shell where it is switched on."""
    return {"has_demo": settings.DEMO}


def shell(request: HttpRequest) -> dict[str, Any]:
    """A page never fails because of its shell: without a database the lamp says so."""
    try:
        user = getattr(
            request, "user", None
        )  # none on pages for what middleware refuses
        if user is None or not user.is_authenticated:
            return {}
        pending = _count_pending(user) if user.has_perm(_QUEUE) else None
        return {"lamp": read_lamp(), "pending_count": pending}
    except DatabaseError:
        return {"lamp": UNKNOWN}


def _count_pending(user: User) -> int:
    return Approval.objects.for_user(user).pending().count()


def read_lamp() -> Lamp:
    """A hard stop outshines soft ones."""
    stops = list(Stop.objects.in_force().only("mode", "scope", "value"))
    for mode in (Stop.Mode.HARD, Stop.Mode.SOFT):
        scopes = [stop.value or stop.scope for stop in stops if stop.mode == mode]
        if scopes:
            where = scopes[0] if len(scopes) == 1 else f"{len(scopes)} scopes"
            return Lamp(mode.value, f"{mode.label} stop · {where}")
    return RUNNING
