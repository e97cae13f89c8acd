"""What the pages of effects outside show."""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

import msgspec
from django.conf import settings
from django.contrib.auth.models import User
from django.db.models import Count
from django.http import QueryDict

from controlplane.effects.actions import DECIDE
from controlplane.effects.forms import (
    ALL,
    AT_ONCE,
    OPEN,
    VERBS,
    ChosenForm,
    DecisionForm,
    FilterForm,
    PageForm,
)
from controlplane.effects.models import Effect, ListedEffect
from controlplane.effects.smtp import message_id
from controlplane.effects.states import NEEDS_PERSON
from controlplane.runtime.models import Heartbeat

PAGE = 50
LISTED = 200  # by a stop's page


class Tab(msgspec.Struct, frozen=True, kw_only=True):
    """A state with how many there are, and the way to them."""

    name: str
    query: str
    count: int
    is_here: bool


def list_context(
    query: QueryDict, user: User, chosen: ChosenForm | None = None
) -> dict[str, Any]:
    """One page of the mails that match; the newest first."""
    filters, place = FilterForm(query), PageForm(query)
    matching = filters.effects()
    before = place.cleaned_data["before"] if place.is_valid() else None
    page = matching.filter(pk__lt=before) if before else matching
    found = list(page.select_related("stop").order_by("-pk")[: PAGE + 1])
    listed = found[:PAGE]
    return status_context() | {
        "filters": filters,
        "tabs": _tabs(filters, query),
        "effects": listed,
        "older": _query(query, before=listed[-1].pk) if len(found) > PAGE else "",
        "newest": _query(query) if before else "",
        "query": _query(query, before=before),
        "chosen": chosen or ChosenForm(),
        "matching": min(matching.count(), AT_ONCE),
        "may_decide": user.has_perm(DECIDE),
        "can_decide": any(effect.verbs for effect in listed),
        "is_ok": filters.is_valid(),
    }


def status_context() -> dict[str, Any]:
    """Whether anything can go out at all."""
    server = settings.MAIL_SERVER
    live = Heartbeat.objects.live().filter(agents__contains=[{"agent": "mailer"}])
    return {
        "server": server,
        "mailers": [
            status
            for heartbeat in live.only("agents")
            for status in heartbeat.agents
            if status["agent"] == "mailer"
        ],
    }


def _tabs(filters: FilterForm, query: QueryDict) -> list[Tab]:
    rows = filters.in_any_state().order_by().values_list("state")
    counts = dict(rows.annotate(count=Count("pk")))
    asked = filters.state_asked
    needing = sum(counts.get(state, 0) for state in NEEDS_PERSON)
    states = [
        (OPEN, "Needs a person", needing),
        *(
            (str(state), str(state.label), counts.get(state.value, 0))
            for state in Effect.State
        ),
        (ALL, "All", sum(counts.values())),
    ]
    return [
        Tab(
            name=name,
            query=_query(query, state=state),
            count=count,
            is_here=state == asked,
        )
        for state, name, count in states
    ]


def _query(
    query: QueryDict, *, before: int | None = None, state: str | None = None
) -> str:
    kept = query.copy()
    kept.pop("before", None)
    kept.pop("effects", None)
    if state is not None:
        kept["state"] = "" if state == OPEN else state
    for name in [name for name, value in kept.items() if not value]:
        del kept[name]
    if before:
        kept["before"] = str(before)
    return f"?{kept.urlencode()}" if kept else ""


def effect_context(
    effect: Effect, user: User, form: DecisionForm | None = None
) -> dict[str, Any]:
    server = settings.MAIL_SERVER
    sender = server.sender if server else ""
    return {
        "effect": effect,
        "effect_alone": [effect],
        "message_id": message_id(effect.record_id, sender) if sender else "",
        "verbs": _worded([effect]),
        "form": form or DecisionForm(),
        "may_decide": user.has_perm(DECIDE),
        "listed_by": list(
            ListedEffect.objects.filter(effect=effect).select_related("stop")
        ),
    }


def decision_context(
    effects: Iterable[Effect], form: DecisionForm | None = None
) -> dict[str, Any]:
    """Each mail of a decision on many, as it is now."""
    shown = list(effects)
    return {
        "effects": shown,
        "verbs": _worded(shown),
        "form": form or DecisionForm(),
    }


def _worded(effects: Iterable[Effect]) -> list[tuple[str, str]]:
    """Return what may be done about any of them."""
    possible = {verb for effect in effects for verb in effect.verbs}
    return [(verb, word) for verb, word in VERBS.items() if verb in possible]


def met_by(stop_id: UUID) -> dict[str, Any]:
    """What a hard stop holds, and what was being sent when it closed the way."""
    listed = ListedEffect.objects.filter(stop=stop_id).select_related("effect")
    held = Effect.objects.filter(stop=stop_id)
    return {
        "held_mails": held.filter(state=Effect.State.HELD).count(),
        "kept_mails": held.count(),
        "listed_mails": list(listed.order_by("effect_id")[:LISTED]),
        "unknown_mails": listed.filter(effect__state=Effect.State.UNKNOWN).count(),
    }
