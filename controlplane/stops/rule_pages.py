"""What the pages show of the rules of automatic stops: how close each is, and what it has engaged."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Literal

import msgspec
from django.contrib.auth.models import User
from django.utils import timezone

from controlplane.runtime.models import HEARTBEAT_EXPIRES
from controlplane.stops import tripping
from controlplane.stops.models import Stop, StopRule
from controlplane.stops.rule_forms import RuleForm
from controlplane.stops.tripping import Verdict

ENGAGED = 10
NEAR = 0.8  # of the threshold

State = Literal["tripped", "stopped", "unknown", "off", "over", "near", "watching"]
# The colour of each, and its word.
WORDS: dict[State, tuple[str, str]] = {
    "tripped": ("soft", "tripped"),
    "stopped": ("soft", "stopped already"),
    "unknown": ("plain", "unknown"),
    "off": ("plain", "off"),
    "over": ("soft", "over, not tripping yet"),
    "near": ("soft", "near"),
    "watching": ("go", "watching"),
}


class RuleCard(msgspec.Struct, frozen=True, kw_only=True):
    """stop: the one in force that the state is about: its own, or another over its scope."""

    rule: StopRule
    condition: str
    verdict: Verdict
    state: State
    stop: Stop | None

    @property
    def colour(self) -> str:
        return WORDS[self.state][0]

    @property
    def word(self) -> str:
        return WORDS[self.state][1]

    @property
    def percent(self) -> int | None:
        """How far it is on its way to the threshold."""
        closeness = self.verdict.closeness
        return None if closeness is None else round(100 * closeness)


def rule_cards(stops: Iterable[Stop]) -> list[RuleCard]:
    """stops: those that are not over."""
    known = [stop for stop in stops if stop.releasing_at is None]
    releases = Stop.objects.latest_releases()
    rules = StopRule.objects.order_by("-is_on", "name")
    return [_card(rule, known, releases) for rule in rules]


def rule_context(
    rule: StopRule, user: User, form: RuleForm | None = None
) -> dict[str, Any]:
    stops = Stop.objects.in_force().order_by("-requested_at", "-pk")
    engaged = Stop.objects.filter(requested_by=rule.actor)
    return {
        "card": _card(rule, list(stops), Stop.objects.latest_releases()),
        "rule": rule,
        "form": form or RuleForm(rule),
        "engaged": engaged.order_by("-requested_at", "-pk")[:ENGAGED],
        "may_change": user.has_perm("stops.change_stoprule"),
    }


def closeness_by_rule() -> dict[str, float]:
    """Return how close each rule is, of those that are known: 1 at the threshold."""
    found = {rule.name: _verdict(rule, []) for rule in StopRule.objects.order_by("pk")}
    return {
        name: verdict.closeness
        for name, verdict in found.items()
        if verdict.closeness is not None
    }


def _card(
    rule: StopRule, stops: list[Stop], releases: list[tuple[str, str, datetime]]
) -> RuleCard:
    verdict = _verdict(rule, releases)
    over_it = rule.stops_over(stops)
    own = [stop for stop in over_it if stop.requested_by == rule.actor]
    stop = next(iter([*own, *over_it]), None)
    state = _state(rule, verdict, stop)
    return RuleCard(
        rule=rule,
        condition=tripping.condition(rule.terms),
        verdict=verdict,
        state=state,
        stop=stop if state in {"tripped", "stopped"} else None,
    )


def _verdict(rule: StopRule, releases: list[tuple[str, str, datetime]]) -> Verdict:
    if not _is_measured(rule):
        return Verdict(says="nobody measures it: no worker runs the tripwire")
    return tripping.judge(
        rule.terms,
        rule.figure,
        armed_at=rule.armed_at(releases),
        now=timezone.now(),
    )


def _is_measured(rule: StopRule) -> bool:
    if rule.measured_at is None:
        return False
    return rule.measured_at > timezone.now() - HEARTBEAT_EXPIRES


def _state(rule: StopRule, verdict: Verdict, stop: Stop | None) -> State:
    if stop is not None and stop.requested_by == rule.actor:
        return "tripped"
    if not rule.is_on:
        return "off"
    return "stopped" if stop is not None else _watched(rule, verdict)


def _watched(rule: StopRule, verdict: Verdict) -> State:
    if rule.unknown or not _is_measured(rule):
        return "unknown"
    closeness = verdict.closeness or 0
    if closeness > 1:
        return "over"
    return "near" if closeness >= NEAR else "watching"
