"""What the pages of the stops show."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import msgspec
from django.contrib.auth.models import User
from django.db.models import Count, Q, QuerySet
from django.utils import timezone

from agents.registry import AGENTS
from agents.topics import DAY_MS, REQUESTS, TOPICS
from controlplane.chat.models import Outcome
from controlplane.effects.pages import met_by
from controlplane.spoken import spoken
from controlplane.stops.forms import LiftForm, ReleaseForm, StopForm, target_of
from controlplane.stops.listed import Fate, lists_of
from controlplane.stops.models import Stop
from controlplane.stops.points import Point, points
from controlplane.stops.ramp import Ramp, ramp_of
from controlplane.stops.receipt import receipt_of
from controlplane.stops.retention import retention_of
from controlplane.stops.rule_pages import rule_cards
from controlplane.stops.targets import agents_in

HISTORY = 20
Query = Mapping[str, str]


class Card(msgspec.Struct, frozen=True, kw_only=True):
    """A stop in force, how far its proof has come, and what it has met."""

    stop: Stop
    proof_ms: float | None
    points: list[Point]
    obeying: int
    slowest_ms: float | None  # of the workers that obey
    delivered: int
    unknown: int
    not_fetched: int
    held: int
    in_flight: int
    release: ReleaseForm | LiftForm
    ramp: Ramp | None  # while it is releasing


class Past(msgspec.Struct, frozen=True, kw_only=True):
    stop: Stop
    proof_ms: float | None
    lasted: str
    listed: int


class Affected(msgspec.Struct, frozen=True, kw_only=True):
    """What a stop would meet now."""

    agents: int
    workflows: int
    workers: int
    in_flight: int
    open: int
    held: int
    kept_days: int  # what waits in Kafka, unless the topics there were changed


def index_context(user: User, form: StopForm | None = None) -> dict[str, Any]:
    form = form or StopForm()
    return live_context(user) | {
        "form": form,
        "affected": affected_by(str(form["target"].value() or "everything")),
    }


def live_context(user: User) -> dict[str, Any]:
    """Return what changes by itself. The number of queries grows with the stops in force alone."""
    stops = Stop.objects.not_over().order_by("-requested_at", "-pk")
    return {
        "cards": [card_of(stop) for stop in stops],
        "rules": rule_cards(stops),
        "past": _history(),
        "may_stop": user.has_perm("stops.add_stop"),
        "may_release": user.has_perm("stops.change_stop"),
    }


def stop_context(
    stop: Stop,
    user: User,
    release: ReleaseForm | LiftForm | None = None,
    *,
    query: Query | None = None,
) -> dict[str, Any]:
    """query: which of the turns that it has met to show."""
    asked = query or {}
    card = card_of(stop, release)
    return {
        "card": card,
        "stop": stop,
        "lists": lists_of(
            stop, fate=asked.get("fate", ""), after=asked.get("after", "")
        ),
        "mails": met_by(stop.pk),
        "lasted": _lasted(stop),
        "retention": retention_of(stop),
        "receipt": receipt_of(stop) if stop.releasing_at else None,
        "may_stop": user.has_perm("stops.add_stop"),
        "may_release": user.has_perm("stops.change_stop"),
    }


def card_of(stop: Stop, release: ReleaseForm | LiftForm | None = None) -> Card:
    workers = points(stop)
    fates = dict(stop.listed.values_list("fate").annotate(count=Count("pk")))
    return Card(
        stop=stop,
        proof_ms=proof_ms(stop),
        points=workers,
        obeying=sum(point.state != "late" for point in workers),
        slowest_ms=_slowest_ms(workers),
        delivered=fates.get(Fate.DELIVERED, 0),
        unknown=fates.get(Fate.UNKNOWN, 0),
        not_fetched=fates.get(Fate.NOT_FETCHED, 0),
        held=_held_since(stop),
        in_flight=sum(point.in_flight for point in workers),
        release=release or _form_for(stop),
        ramp=ramp_of(stop) if stop.state == "releasing" else None,
    )


def _form_for(stop: Stop) -> ReleaseForm | LiftForm:
    form = LiftForm if stop.releasing_at else ReleaseForm
    return form(auto_id=f"release-{stop.pk}-%s")


def _slowest_ms(workers: list[Point]) -> float | None:
    """Return it only if it is known of all who obey."""
    times = [point.obeyed_in_ms for point in workers if point.state == "obeys"]
    known = [each for each in times if each is not None]
    return max(known) if known and len(known) == len(times) else None


def proof_ms(stop: Stop) -> float | None:
    if stop.proven_at is None:
        return None
    return float((stop.proven_at - stop.requested_at) / timedelta(milliseconds=1))


def affected_by(target: str) -> Affected:
    """Return what a stop of the target would meet; of one conversation only its own turns."""
    scope, value = target_of(target)
    stop = Stop(mode=Stop.Mode.SOFT, scope=scope, value=value, control_version=0)
    names = agents_in(scope, value)
    workers = points(stop) if scope != Stop.Scope.CONVERSATION else []
    open_now, held = _count(stop)
    return Affected(
        agents=len(names),
        workflows=len({AGENTS[name][0] for name in names}),
        workers=len([point for point in workers if point.state != "silent"]),
        in_flight=sum(point.in_flight for point in workers),
        open=open_now,
        held=held,
        kept_days=min(TOPICS[name].retention_ms for name in REQUESTS) // DAY_MS,
    )


def _outcomes(stop: Stop) -> "QuerySet[Outcome]":
    return Outcome.objects.filter(effect="reply", turn__in=stop.turns())


def _count(stop: Stop) -> tuple[int, int]:
    counts = (
        _outcomes(stop)
        .filter(state__in=["open", "held"])
        .aggregate(
            open=Count("pk", filter=Q(state="open")),
            held=Count("pk", filter=Q(state="held")),
        )
    )
    return int(counts["open"]), int(counts["held"])


def _held_since(stop: Stop) -> int:
    held = _outcomes(stop).filter(state=Outcome.State.HELD)
    return held.filter(changed_at__gte=stop.requested_at).count()


def _history() -> list[Past]:
    latest = (
        Stop.objects.released()
        .annotate(listed_turns=Count("listed"))
        .order_by("-released_at", "-pk")
    )
    return [
        Past(
            stop=stop,
            proof_ms=proof_ms(stop),
            lasted=_lasted(stop),
            listed=stop.listed_turns,  # type: ignore[attr-defined]  # annotated
        )
        for stop in latest[:HISTORY]
    ]


def _lasted(stop: Stop) -> str:
    until: datetime = stop.releasing_at or timezone.now()
    return spoken(until - stop.requested_at)
