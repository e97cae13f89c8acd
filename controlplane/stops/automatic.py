"""Every write to the rules of automatic stops, and what they do."""

from datetime import datetime
from typing import Any

import structlog
from django.contrib.auth.models import User
from django.db import transaction

from controlplane.clock import database_now
from controlplane.runtime.actions import change_control
from controlplane.stops import actions
from controlplane.stops.models import Stop, StopRule

log = structlog.get_logger()

BY = "tripwire"
TERMS = ("scope", "value", "threshold", "window", "minimum", "is_on")


class NothingChangedError(Exception):
    """The rule is so already."""


def engage(name: str, *, armed_at: datetime, reason: str) -> bool:
    """Engage the soft stop of a rule that tripped, and prove it; return whether it is a new one.

    armed_at: as the rule was measured. A release since, a change, or a stop of its scope that is in
    force, and what was measured no longer counts.
    """
    stop = _engage(name, armed_at=armed_at, reason=reason)
    if stop is not None:
        _prove(stop)
    return stop is not None


@transaction.atomic
def _engage(name: str, *, armed_at: datetime, reason: str) -> Stop | None:
    """Locks the rule: of two who measured the same, one engages."""
    rule = StopRule.objects.select_for_update().get(pk=name)
    if not rule.is_on or rule.stops_over(Stop.objects.in_force()):
        return None
    if rule.armed_at(Stop.objects.latest_releases()) != armed_at:
        return None
    stop, is_new = actions.engage_stop(
        mode=Stop.Mode.SOFT,
        scope=rule.scope,
        value=rule.value,
        reason=reason,
        requester=rule.actor,
    )
    return stop if is_new else None


def prove_again() -> int:
    """Prove what rules have engaged and nobody has proven; return how many could not be."""
    by_rules = Stop.objects.in_force().filter(requested_by__startswith="rule:")
    return sum(not _prove(stop) for stop in by_rules.filter(proven_at=None))


def finish_releases() -> int:
    """End the ramps that nobody needs any more; return how many. A stop that is in force stays so."""
    return len(actions.finish_releases(BY))


def _prove(stop: Stop) -> bool:
    """The stop is in force whatever comes of this."""
    try:
        actions.prove_stop(stop, prover=stop.requested_by)
    except actions.NotProvenError as error:
        log.warning("stop_not_proven", stop=str(stop.pk), reason=str(error))
        return False
    return True


@transaction.atomic
def change_rule(
    name: str, *, changes: dict[str, Any], reason: str, changer: User
) -> StopRule:
    """Change terms of a rule; it counts anew from now on. NothingChangedError."""
    rule = StopRule.objects.select_for_update().get(pk=name)
    differs = {
        field: changes[field]
        for field in TERMS
        if field in changes and changes[field] != getattr(rule, field)
    }
    if not differs:
        raise NothingChangedError
    detail = {
        field: f"{getattr(rule, field)} → {value}" for field, value in differs.items()
    }
    _set(rule, differs)
    change_control(
        kind="stop_rule_changed",
        subject=f"stop-rule:{rule.name}",
        actor=changer,
        reason=reason,
        detail=detail,
    )
    return rule


def _set(rule: StopRule, differs: dict[str, Any]) -> None:
    """What was counted under other terms says nothing any more."""
    nothing = {"count": 0, "items": 0, "about": "", "unknown": ""}
    nothing |= {"above_since": None, "measured_at": None}
    values = differs | nothing | {"changed_at": database_now()}
    for field, value in values.items():
        setattr(rule, field, value)
    rule.save(update_fields=list(values))
