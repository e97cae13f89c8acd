"""Compares two rule-sets on the same texts: what each rule hits in one and not in the other, what becomes of the texts, how many each team gets.

"Live" is the set in force, "draft" the one that might follow it.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Literal

import msgspec

from guardrails.context import Context, Direction
from guardrails.verdicts import PASSING, Finding, Verdict, side

MAX_SAMPLES = 200
MAX_SAMPLES_OF_A_CHANGE = 5  # of one rule
MAX_SPANS = 20
MAX_PLACES = 40
MAX_REASONS = 5
REASON_CHARACTERS = 200
MIN_SPAN_S = 60.0  # what lies closer together says nothing of an hour
SHADOW = "shadow"
OTHER = "other"

Change = Literal["new", "lost", "changed", "outcome"]


class Origin(msgspec.Struct, frozen=True):
    """The record that a text came in."""

    topic: str
    partition: int
    offset: int
    at: datetime


class Text(msgspec.Struct, frozen=True, kw_only=True):
    text: str
    direction: Direction
    tier: str
    workflow: str
    trace_id: str
    origin: Origin

    @property
    def about(self) -> Context:
        return Context(
            direction=self.direction,
            tier=self.tier,
            workflow=self.workflow,
            trace_id=self.trace_id,
        )


class Tally(msgspec.Struct, kw_only=True):
    """Texts that a rule hit so that it counts; shadow: that it would have hit.

    changed: hit in both sets, and something else follows, as when a rule in shadow is enforced.
    """

    live: int = 0
    draft: int = 0
    new: int = 0
    lost: int = 0
    changed: int = 0
    live_shadow: int = 0
    draft_shadow: int = 0


class RuleTally(msgspec.Struct, kw_only=True):
    name: str
    whole: Tally = msgspec.field(default_factory=Tally)
    places: dict[str, Tally] = {}


class PlaceTally(msgspec.Struct, kw_only=True):
    """Texts of one direction, tier and workflow. moved: something else becomes of them."""

    direction: str
    tier: str
    workflow: str
    texts: int = 0
    moved: int = 0
    live_held: int = 0
    draft_held: int = 0
    newly_held: int = 0
    no_longer_held: int = 0


class Load(msgspec.Struct, kw_only=True):
    """How many texts wait for a team."""

    live: int = 0
    draft: int = 0


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """Where a text is to be found, and what is marked in it; never the text.

    change: "outcome" where something else becomes of it though each rule says the same.
    """

    rule: str
    name: str
    change: Change
    live: str
    draft: str
    direction: Direction
    tier: str
    workflow: str
    trace_id: str
    origin: Origin
    spans: list[tuple[int, int]]
    number: float | None = None
    limit: float | None = None

    @property
    def side(self) -> str:
        return side(self.number, self.limit)


class Comparison(msgspec.Struct, kw_only=True):
    """Grows text by text, and stays small: rules that find nothing are not in it.

    moves: by what becomes of a text now, and by what would. errors: why texts could not be checked.
    """

    texts: int = 0
    since: datetime | None = None
    until: datetime | None = None
    rules: dict[str, RuleTally] = {}
    places: dict[str, PlaceTally] = {}
    moves: dict[str, dict[str, int]] = {}
    teams: dict[str, Load] = {}
    live_unchecked: int = 0
    draft_unchecked: int = 0
    errors: dict[str, int] = {}
    samples: list[Sample] = []

    @property
    def span_s(self) -> float:
        if self.since is None or self.until is None:
            return 0.0
        return (self.until - self.since).total_seconds()

    def per_hour(self, count: int) -> float | None:
        """None where the texts lie too close together to say."""
        return count * 3600 / self.span_s if self.span_s >= MIN_SPAN_S else None

    def total(self, name: str) -> int:
        """Return a count of places over all of them."""
        return sum(getattr(place, name) for place in self.places.values())

    def add(self, text: Text, live: Verdict, draft: Verdict) -> None:
        """Count what both sets say of a text. One that could not be checked is held, and counted as such too."""
        self.texts += 1
        at = text.origin.at
        self.since = at if self.since is None else min(self.since, at)
        self.until = at if self.until is None else max(self.until, at)
        key = self._place_of(text)
        self._count_outcomes(self.places[key], live, draft)
        self._count_errors(live, draft)
        before, after = says(live), says(draft)
        for rule in before.keys() | after.keys():
            self._count_rule(key, _first(rule, draft, live), before, after)
        self._keep(text, live, draft)

    def _place_of(self, text: Text) -> str:
        named = (text.direction, text.tier, text.workflow)
        if "/".join(named) not in self.places and len(self.places) >= MAX_PLACES:
            named = (text.direction, OTHER, OTHER)
        key = "/".join(named)
        if key not in self.places:
            direction, tier, workflow = named
            self.places[key] = PlaceTally(
                direction=direction, tier=tier, workflow=workflow
            )
        self.places[key].texts += 1
        return key

    def _count_outcomes(self, place: PlaceTally, live: Verdict, draft: Verdict) -> None:
        was, would = outcome(live), outcome(draft)
        place.live_held += _is_held(live)
        place.draft_held += _is_held(draft)
        place.newly_held += _is_held(draft) and not _is_held(live)
        place.no_longer_held += _is_held(live) and not _is_held(draft)
        if was != would:
            place.moved += 1
            ways = self.moves.setdefault(was, {})
            ways[would] = ways.get(would, 0) + 1
        if _is_held(live):
            self.teams.setdefault(live.team, Load()).live += 1
        if _is_held(draft):
            self.teams.setdefault(draft.team, Load()).draft += 1

    def _count_errors(self, live: Verdict, draft: Verdict) -> None:
        self.live_unchecked += bool(live.error)
        self.draft_unchecked += bool(draft.error)
        for error in {live.error, draft.error} - {""}:
            reason = error[:REASON_CHARACTERS].replace("\0", "")
            if reason in self.errors or len(self.errors) < MAX_REASONS:
                self.errors[reason] = self.errors.get(reason, 0) + 1

    def _count_rule(
        self,
        place: str,
        finding: Finding,
        before: Mapping[str, str],
        after: Mapping[str, str],
    ) -> None:
        rule = finding.rule
        tally = self.rules.setdefault(rule, RuleTally(name=finding.name))
        for each in (tally.whole, tally.places.setdefault(place, Tally())):
            _count(each, before.get(rule, ""), after.get(rule, ""))

    def _keep(self, text: Text, live: Verdict, draft: Verdict) -> None:
        """Keep a few samples of each change of each rule, as long as there is room."""
        found = list(_changes(live, draft))
        if not found and outcome(live) != outcome(draft):
            found = [("", "outcome")]
        for rule, change in found:
            same = sum(s.rule == rule and s.change == change for s in self.samples)
            if same < MAX_SAMPLES_OF_A_CHANGE and len(self.samples) < MAX_SAMPLES:
                self.samples.append(_sample(text, rule, change, live, draft))


def outcome(verdict: Verdict) -> str:
    """Return what becomes of a text, in words that two sets can be compared by."""
    if _is_held(verdict):
        return f"escalate to {verdict.team}"
    if verdict.action in PASSING and verdict.redacted:
        return "redact"
    return verdict.action


def says(verdict: Verdict) -> dict[str, str]:
    """Return what follows from each rule that found something; SHADOW from one that only watched."""
    said = {finding.rule: SHADOW for finding in verdict.shadow}
    return said | {finding.rule: _effect(finding) for finding in verdict.findings}


def _effect(finding: Finding) -> str:
    if finding.redacts:
        return "redact"
    if finding.action == "escalate":
        return f"escalate to {finding.team}"
    return finding.action


def _is_held(verdict: Verdict) -> bool:
    return verdict.action == "escalate"


def _count(tally: Tally, before: str, after: str) -> None:
    was, would = before not in {"", SHADOW}, after not in {"", SHADOW}
    tally.live += was
    tally.draft += would
    tally.new += would and not before
    tally.lost += was and not after
    tally.changed += bool(before and after and before != after)
    tally.live_shadow += before == SHADOW
    tally.draft_shadow += after == SHADOW


def _changes(live: Verdict, draft: Verdict) -> Iterable[tuple[str, Change]]:
    before, after = says(live), says(draft)
    for rule in sorted(before.keys() | after.keys()):
        was, would = before.get(rule, ""), after.get(rule, "")
        if was and would and was != would:
            yield rule, "changed"
        elif would not in {"", SHADOW, was}:
            yield rule, "new"
        elif was not in {"", SHADOW, would}:
            yield rule, "lost"


def _sample(
    text: Text, rule: str, change: Change, live: Verdict, draft: Verdict
) -> Sample:
    shown = live if change == "lost" else draft
    found = [f for f in _all(shown) if f.rule == rule or not rule]
    first = found[0] if found else None
    return Sample(
        rule=rule,
        name=first.name if rule and first else "",
        change=change,
        live=outcome(live),
        draft=outcome(draft),
        direction=text.direction,
        tier=text.tier,
        workflow=text.workflow,
        trace_id=text.trace_id,
        origin=text.origin,
        spans=[(f.start, f.end) for f in found[:MAX_SPANS]],
        number=first.number if first else None,
        limit=first.limit if first else None,
    )


def _first(rule: str, *verdicts: Verdict) -> Finding:
    return next(f for v in verdicts for f in _all(v) if f.rule == rule)


def _all(verdict: Verdict) -> tuple[Finding, ...]:
    return (*verdict.findings, *verdict.shadow)
