"""What emergency stops mean for answers that wait for people."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Literal
from uuid import UUID

import msgspec
from django.db.models import F, OuterRef, Subquery
from django.utils import timezone

from agents import registry
from controlplane.chat.models import Outcome
from controlplane.chat.turns import HELD_BY_STOP, StopInForce
from controlplane.stops.models import Stop
from moderation.models import Approval

Agents = Mapping[str, frozenset[str]]  # by turn, those whose work is in its answer


class Meaning(msgspec.Struct, frozen=True):
    """One stop's. state is the colour, word says it without one."""

    state: Literal["stop", "soft", "plain"]
    word: str
    sentence: str


def meanings(approvals: Iterable[Approval]) -> dict[UUID, list[Meaning]]:
    """Return what stops mean for each that still waits, in at most four queries."""
    waiting = [approval for approval in approvals if approval.is_pending]
    held_by = _held_by(waiting)
    in_force = list(Stop.objects.in_force().order_by("requested_at", "pk"))
    if not in_force and not held_by:
        return {}
    agents = _agents([approval.turn_id for approval in waiting])
    return {
        approval.pk: _of(approval, in_force, agents, held_by.get(approval.pk))
        for approval in waiting
    }


def _held_by(approvals: list[Approval]) -> dict[UUID, Stop]:
    """Return the stop that held each: the latest of that scope before it."""
    held = [each.pk for each in approvals if each.why.startswith(HELD_BY_STOP)]
    if not held:
        return {}
    its = Stop.objects.that_held(OuterRef("why"), before=OuterRef("created_at"))
    found = dict(
        Approval.objects.filter(pk__in=held)
        .annotate(
            stop_id=Subquery(its.order_by("-requested_at", "pk").values("pk")[:1])
        )
        .exclude(stop_id=None)
        .values_list("pk", F("stop_id"))
    )
    stops = Stop.objects.in_bulk(set(found.values()))
    return {approval: stops[stop] for approval, stop in found.items()}


def _agents(turns: list[str]) -> Agents:
    upstream = registry.upstream()
    outcomes = Outcome.objects.filter(turn__in=turns, effect="reply")
    return {
        turn: upstream.get(source, frozenset()) | {source}
        for turn, source in outcomes.values_list("turn_id", "source")
    }


def _of(
    approval: Approval, in_force: list[Stop], agents: Agents, held_by: Stop | None
) -> list[Meaning]:
    covering = [stop for stop in in_force if _covers(stop, approval, agents)]
    hard = [stop for stop in covering if stop.mode == Stop.Mode.HARD]
    found = [_of_hard(stop, stop == held_by) for stop in hard]
    if held_by is not None and held_by not in hard:
        found.append(_of_released(held_by))
    return found + [_of_soft(stop) for stop in covering if stop not in hard]


def _covers(stop: Stop, approval: Approval, agents: Agents) -> bool:
    """By the gate's own rule."""
    turn = approval.turn
    rule = StopInForce(stop.scope, stop.value, stop.requested_at)
    return rule.covers(
        conversation=turn.conversation_id,
        workflow=turn.conversation.workflow,
        tier=turn.effective_tier,
        agents=agents.get(turn.pk, frozenset()),
    )


def _of_hard(stop: Stop, has_held: bool) -> Meaning:  # noqa: FBT001
    what = f"ard stop on {_what(stop)}"
    said = (
        f"Held by the h{what} of {_when(stop.requested_at)}" if has_held else f"H{what}"
    )
    return Meaning("stop", "Hard stop", f"{said}: goes out only by your decision.")


def _of_released(stop: Stop) -> Meaning:
    said = f"Held by the hard stop of {_when(stop.requested_at)}, released since"
    return Meaning("plain", "Held by a stop", f"{said}; still waits for you.")


def _of_soft(stop: Stop) -> Meaning:
    said = f"Soft stop on {_what(stop)}: agents are paused"
    return Meaning("soft", "Soft stop", f"{said}; deciding works as always.")


def _what(stop: Stop) -> str:
    return f"{stop.scope} {stop.value}".strip()


def _when(at: datetime) -> str:
    is_today = at.date() == timezone.now().date()
    return f"{at:%H:%M} UTC" if is_today else f"{at.day} {at:%b %H:%M} UTC"
