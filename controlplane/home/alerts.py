"""Which figures are over their thresholds. Pure: figures and thresholds in, alerts out."""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

import msgspec
from django.utils.text import slugify

from controlplane.spoken import spoken


class OldestTurn(msgspec.Struct, frozen=True):
    trace_id: str
    created_at: datetime


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """lags, by agent and topic, and dead letters are None while nobody can say."""

    at: datetime
    lags: dict[tuple[str, str], int] | None
    oldest_turn: OldestTurn | None
    unfinished: int
    held: int
    overdue: int = 0  # of those held
    restarts: int
    dead_letters_per_minute: float | None

    @property
    def oldest_turn_waits(self) -> timedelta:
        """Nothing when there is none."""
        if self.oldest_turn is None:
            return timedelta(0)
        return max(timedelta(0), self.at - self.oldest_turn.created_at)


class Thresholds(msgspec.Struct, frozen=True, kw_only=True):
    """A figure fires above its threshold, not at it."""

    lag_records: int
    oldest_turn_s: float
    restarts_per_hour: int
    dead_letters_per_minute: float


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """state and word are those of a problem. since is None where only a watcher can know.

    about tells apart alerts of one name; place is where in the pages to look, and trace_id which trace.
    """

    name: str
    state: str
    word: str
    what: str
    figure: str
    threshold: str
    about: str = ""
    since: datetime | None = None
    place: str = ""
    trace_id: str = ""

    @property
    def id(self) -> str:
        return slugify(f"alert {self.name} {self.about}")


Found = Iterator[Alert]


def alerts(figures: Figures, thresholds: Thresholds) -> list[Alert]:
    """Return what is over its threshold, what endangers answers first."""
    return [alert for find in ALERTS.values() for alert in find(figures, thresholds)]


def active(figures: Figures, thresholds: Thresholds) -> dict[str, bool]:
    """Tell for each alert whether it is in force; one whose figure is unknown is left out."""
    unknown = {
        name
        for name, figure in (
            ("lag", figures.lags),
            ("dead_letters", figures.dead_letters_per_minute),
        )
        if figure is None
    }
    firing = {alert.name for alert in alerts(figures, thresholds)}
    return {name: name in firing for name in ALERTS if name not in unknown}


def _dead_letters(figures: Figures, thresholds: Thresholds) -> Found:
    rate, most = figures.dead_letters_per_minute, thresholds.dead_letters_per_minute
    if rate is not None and rate > most:
        yield Alert(
            name="dead_letters",
            state="stop",
            word="failing",
            what="Records go to the dead letters",
            figure=f"{rate:,.1f} per minute",
            threshold=f"{most:,g} per minute",
            place="letters",
        )


def _oldest_turn(figures: Figures, thresholds: Thresholds) -> Found:
    turn, most = figures.oldest_turn, timedelta(seconds=thresholds.oldest_turn_s)
    if turn is not None and figures.oldest_turn_waits > most:
        also = (
            f"; {_count(figures.held, 'other')} held for people" if figures.held else ""
        )
        yield Alert(
            name="oldest_turn",
            state="stop",
            word="late",
            what=f"{_unfinished(figures.unfinished)}{also}",
            figure=spoken(figures.oldest_turn_waits),
            threshold=spoken(most),
            since=turn.created_at + most,
            trace_id=turn.trace_id,
        )


def _lag(figures: Figures, thresholds: Thresholds) -> Found:
    most = thresholds.lag_records
    for (agent, topic), lag in sorted((figures.lags or {}).items()):
        if lag > most:
            yield Alert(
                name="lag",
                state="soft",
                word="behind",
                what=f"{agent} is behind on {topic}",
                figure=_count(lag, "record"),
                threshold=_count(most, "record"),
                about=f"{agent} {topic}",
                place="agents",
            )


def _restarts(figures: Figures, thresholds: Thresholds) -> Found:
    if figures.restarts > thresholds.restarts_per_hour:
        yield Alert(
            name="restarts",
            state="soft",
            word="restarts",
            what="Workers ended without a word and were started again",
            figure=f"{figures.restarts:,} in an hour",
            threshold=f"{thresholds.restarts_per_hour:,} in an hour",
            place="workers",
        )


ALERTS: dict[str, Callable[[Figures, Thresholds], Found]] = {
    "dead_letters": _dead_letters,
    "oldest_turn": _oldest_turn,
    "lag": _lag,
    "restarts": _restarts,
}


def _unfinished(turns: int) -> str:
    if turns == 1:
        return "The only unfinished turn waits"
    return f"The oldest of {turns:,} unfinished turns waits"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
