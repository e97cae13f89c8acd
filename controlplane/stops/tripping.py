"""When a rule of automatic stops trips: its terms and a figure in, a verdict out. Pure."""

from collections.abc import Iterable
from datetime import datetime
from typing import Literal

import msgspec

from agents.registry import declarations
from controlplane.stops.targets import agents_in

Kind = Literal["share", "rate", "level"]


class Metric(msgspec.Struct, frozen=True, kw_only=True):
    """share: of the latest items; rate: a minute, over seconds; level: for so many seconds.

    scopes: of what it can be told apart.
    """

    kind: Kind
    title: str
    unit: str
    of: str
    what: str
    scopes: tuple[str, ...]


METRICS = {
    "flagged_share": Metric(
        kind="share",
        title="Flagged replies",
        unit="%",
        of="replies",
        what="flagged",
        scopes=("everything", "workflow", "agent", "tier"),
    ),
    "dead_letters_per_minute": Metric(
        kind="rate",
        title="Dead letters",
        unit="per minute",
        of="dead letters",
        what="",
        scopes=("everything", "workflow", "agent"),
    ),
    "model_error_share": Metric(
        kind="share",
        title="Model errors",
        unit="%",
        of="model calls",
        what="failed",
        scopes=("everything", "workflow", "agent", "tier"),
    ),
    "lag_records": Metric(
        kind="level",
        title="Lag",
        unit="records",
        of="records",
        what="behind",
        scopes=("everything", "workflow", "agent", "tier"),
    ),
    "negative_feedback_share": Metric(
        kind="share",
        title="Negative feedback",
        unit="%",
        of="ratings",
        what="negative",
        scopes=("everything", "workflow", "tier"),
    ),
}


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """window: so many of the latest items, or seconds. minimum: items, below which a share says nothing."""

    metric: str
    threshold: float
    window: int
    minimum: int = 1


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """What was counted. above_since: since when a level is over its threshold; unknown: why nothing was counted."""

    count: int = 0
    items: int = 0
    about: str = ""
    above_since: datetime | None = None
    unknown: str = ""


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """value is None if it is not known; closeness is 1 at the threshold; note says what it waits for."""

    value: float | None = None
    closeness: float | None = None
    says: str
    note: str = ""
    trips: bool = False


def judge(
    terms: Terms, figure: Figure, *, armed_at: datetime, now: datetime
) -> Verdict:
    """armed_at: what was so before does not count, as a person has let it go on since."""
    metric = METRICS[terms.metric]
    value = value_of(terms, figure)
    if value is None:
        return Verdict(says=figure.unknown or f"no {metric.of} yet")
    note = ""
    if value > terms.threshold:
        note = _waits_for(metric.kind, terms, figure, armed_at, now)
    elif metric.kind == "share" and figure.items < terms.minimum:
        note = _too_few(terms, figure)
    return Verdict(
        value=value,
        closeness=value / terms.threshold,
        says=_said(terms, figure, value),
        note=note,
        trips=value > terms.threshold and not note,
    )


def value_of(terms: Terms, figure: Figure) -> float | None:
    """Return the figure in the metric's unit."""
    kind = METRICS[terms.metric].kind
    if figure.unknown or (kind == "share" and not figure.items):
        return None
    if kind == "share":
        return 100 * figure.count / figure.items
    return figure.count * 60 / terms.window if kind == "rate" else float(figure.count)


def above_since(
    terms: Terms, figure: Figure, *, before: datetime | None, now: datetime
) -> datetime | None:
    """Return since when a level is over its threshold; what is not known changes nothing."""
    value = value_of(terms, figure)
    if value is None:
        return before
    return (before or now) if value > terms.threshold else None


def _waits_for(
    kind: Kind, terms: Terms, figure: Figure, armed_at: datetime, now: datetime
) -> str:
    """Return what a figure over its threshold still waits for, or nothing."""
    if kind == "share":
        return _too_few(terms, figure) if figure.items < terms.minimum else ""
    if kind == "rate":
        return ""
    if figure.above_since is None or figure.above_since <= armed_at:
        return "was over it before; counts again once it has come down"
    over_for_s = (now - figure.above_since).total_seconds()
    if over_for_s < terms.window:
        return f"over it for {over_for_s:.0f} s of {terms.window:,} s"
    return ""


def _too_few(terms: Terms, figure: Figure) -> str:
    return f"too few to trip: {figure.items:,} of {terms.minimum:,}"


def condition(terms: Terms) -> str:
    """Say what a rule asks for: "More than 20 % of the last 50 replies flagged"."""
    metric, most = METRICS[terms.metric], number(terms.threshold)
    match metric.kind:
        case "share":
            return f"More than {most} % of the last {terms.window:,} {metric.of} {metric.what}"
        case "rate":
            return f"{metric.title} at more than {most} per minute, over {terms.window:,} s"
        case _:
            return f"More than {most} {metric.of} {metric.what}, for {terms.window:,} s"


def reason(terms: Terms, verdict: Verdict) -> str:
    """Say why it tripped, with the numbers."""
    unit = METRICS[terms.metric].unit
    return (
        f"{terms.metric}: {verdict.says}; trips above {number(terms.threshold)} {unit}"
    )


def _said(terms: Terms, figure: Figure, value: float) -> str:
    metric = METRICS[terms.metric]
    match metric.kind:
        case "share":
            counted = f"{figure.count:,} of the last {figure.items:,} {metric.of}"
            return f"{counted} ({number(value)} %) {metric.what}"
        case "rate":
            counted = f"{figure.count:,} {metric.of} in {terms.window:,} s"
            return f"{counted} ({number(value)} per minute)"
        case _:
            where = f": {figure.about}" if figure.about else ""
            return f"{figure.count:,} {metric.of} {metric.what}{where}"


def number(value: float) -> str:
    """Two places at most, and none that says nothing."""
    return f"{value:,.2f}".rstrip("0").rstrip(".")


def refusal(metric: str, scope: str, value: str) -> str:
    """Return why there is no such figure for a scope, or nothing if there is."""
    known = METRICS[metric]
    if scope not in known.scopes:
        may = ", ".join(known.scopes)
        return f"{known.title} cannot be told apart by {scope}; a rule on them may be for: {may}."
    if metric != "model_error_share" or scope in {"everything", "tier"}:
        return ""
    asking = {each.name for each in declarations() if each.kind == "model"}
    if asking <= set(agents_in(scope, value)):
        return ""
    return f"Model calls are not known of {scope} {value} alone; they are made by {_and(asking)}."


def covers(scope: str, value: str, *, rule_scope: str, rule_value: str) -> bool:
    """Whether a stop on the one stops all that a rule on the other would."""
    if scope == "everything" or (scope, value) == (rule_scope, rule_value):
        return True
    is_agent = scope == "workflow" and rule_scope == "agent"
    return is_agent and rule_value in agents_in(scope, value)


def _and(names: Iterable[str]) -> str:
    return " and ".join(sorted(names))
