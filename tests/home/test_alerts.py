"""Which figures are over their thresholds: at the border, and anywhere."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from controlplane.home.alerts import (
    ALERTS,
    Alert,
    Figures,
    OldestTurn,
    Thresholds,
    active,
    alerts,
)

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
QUIET = Figures(
    at=NOW,
    lags={},
    oldest_turn=None,
    unfinished=0,
    held=0,
    restarts=0,
    dead_letters_per_minute=0.0,
)
LIMITS = Thresholds(
    lag_records=10_000, oldest_turn_s=60, restarts_per_hour=3, dead_letters_per_minute=1
)


def with_figures(**fields: Any) -> Figures:
    return structs.replace(QUIET, **fields)


def with_turn(age: timedelta, *, unfinished: int = 1, held: int = 0) -> Figures:
    turn = OldestTurn("4bf9", NOW - age)
    return with_figures(oldest_turn=turn, unfinished=unfinished, held=held)


def only(figures: Figures) -> Alert:
    [alert] = alerts(figures, LIMITS)
    return alert


def test_nothing_is_wrong_when_nothing_happens() -> None:
    assert alerts(QUIET, LIMITS) == []
    assert active(QUIET, LIMITS) == dict.fromkeys(ALERTS, False)


@pytest.mark.parametrize(("lag", "fires"), [(9_999, 0), (10_000, 0), (10_001, 1)])
def test_lag_fires_above_its_threshold(lag: int, fires: int) -> None:
    figures = with_figures(lags={("gate", "agent.responses.final"): lag})

    assert len(alerts(figures, LIMITS)) == fires
    assert active(figures, LIMITS)["lag"] is bool(fires)


def test_lag_names_agent_topic_figure_and_threshold() -> None:
    alert = only(with_figures(lags={("gate", "t"): 10_001, ("intake", "t"): 10_000}))

    assert alert.what == "gate is behind on t"
    assert (alert.figure, alert.threshold) == ("10,001 records", "10,000 records")
    assert (alert.word, alert.place) == ("behind", "agents")


def test_every_topic_that_an_agent_is_behind_on_is_a_line() -> None:
    lags = {("gate", "b"): 20_000, ("gate", "a"): 20_000, ("intake", "a"): 5}

    found = alerts(with_figures(lags=lags), LIMITS)

    assert [alert.about for alert in found] == ["gate a", "gate b"]


@pytest.mark.parametrize(
    ("age", "fires"),
    [(timedelta(seconds=60), 0), (timedelta(seconds=60, microseconds=1), 1)],
)
def test_the_oldest_turn_fires_above_its_threshold(age: timedelta, fires: int) -> None:
    assert len(alerts(with_turn(age), LIMITS)) == fires


def test_the_oldest_turn_says_how_many_wait_and_for_what() -> None:
    alert = only(with_turn(timedelta(seconds=130), unfinished=4, held=2))

    assert (
        alert.what == "The oldest of 4 unfinished turns waits; 2 others held for people"
    )
    assert (alert.figure, alert.threshold) == ("2 m 10 s", "1 m")
    assert alert.since == NOW - timedelta(seconds=70)
    assert alert.trace_id == "4bf9"


@pytest.mark.parametrize(("restarts", "fires"), [(3, 0), (4, 1)])
def test_restarts_fire_above_their_threshold(restarts: int, fires: int) -> None:
    assert len(alerts(with_figures(restarts=restarts), LIMITS)) == fires


@pytest.mark.parametrize(("rate", "fires"), [(1.0, 0), (1.2, 1)])
def test_dead_letters_fire_above_their_threshold(rate: float, fires: int) -> None:
    figures = with_figures(dead_letters_per_minute=rate)

    found = alerts(figures, LIMITS)

    assert [alert.figure for alert in found] == ["1.2 per minute"] * fires


def test_what_nobody_knows_is_neither_in_force_nor_over() -> None:
    unknown = with_figures(lags=None, dead_letters_per_minute=None, restarts=9)

    assert [alert.name for alert in alerts(unknown, LIMITS)] == ["restarts"]
    assert active(unknown, LIMITS) == {"oldest_turn": False, "restarts": True}


def test_what_endangers_answers_comes_first() -> None:
    figures = structs.replace(
        with_turn(timedelta(hours=1)),
        lags={("gate", "t"): 20_000},
        restarts=9,
        dead_letters_per_minute=9.0,
    )

    found = alerts(figures, LIMITS)

    assert [alert.name for alert in found] == list(ALERTS)
    assert [alert.state for alert in found] == ["stop", "stop", "soft", "soft"]


FIGURES = st.builds(
    Figures,
    at=st.just(NOW),
    lags=st.none()
    | st.dictionaries(
        st.tuples(st.sampled_from("ab"), st.sampled_from("st")), st.integers(0, 10**7)
    ),
    oldest_turn=st.none()
    | st.builds(
        OldestTurn,
        st.just("4bf9"),
        st.timedeltas(timedelta(hours=-1), timedelta(days=9)).map(lambda d: NOW - d),
    ),
    unfinished=st.integers(1, 10**6),
    held=st.integers(0, 10**6),
    restarts=st.integers(0, 10**4),
    dead_letters_per_minute=st.none() | st.floats(0, 1e6),
)
THRESHOLDS = st.builds(
    Thresholds,
    lag_records=st.integers(0, 10**7),
    oldest_turn_s=st.floats(0, 1e6),
    restarts_per_hour=st.integers(0, 10**4),
    dead_letters_per_minute=st.floats(0, 1e6),
)


@given(FIGURES, THRESHOLDS)
def test_an_alert_is_in_force_exactly_when_its_figure_is_above(
    figures: Figures, thresholds: Thresholds
) -> None:
    found = alerts(figures, thresholds)

    over = [
        agent
        for agent, lag in (figures.lags or {}).items()
        if lag > thresholds.lag_records
    ]
    most = timedelta(seconds=thresholds.oldest_turn_s)
    rate = figures.dead_letters_per_minute
    is_late = figures.oldest_turn is not None and figures.oldest_turn_waits > most
    expected = {
        "dead_letters": int(
            rate is not None and rate > thresholds.dead_letters_per_minute
        ),
        "oldest_turn": int(is_late),
        "lag": len(over),
        "restarts": int(figures.restarts > thresholds.restarts_per_hour),
    }
    names = [alert.name for alert in found]
    assert {name: names.count(name) for name in ALERTS} == expected
    told = active(figures, thresholds)
    assert {name for name, is_active in told.items() if is_active} == set(names)
    assert len({(alert.name, alert.about) for alert in found}) == len(found)
    assert all(alert.what and alert.figure and alert.threshold for alert in found)


@given(FIGURES, THRESHOLDS)
def test_more_of_a_figure_never_ends_an_alert(
    figures: Figures, thresholds: Thresholds
) -> None:
    more = structs.replace(
        figures,
        lags={key: lag + 1 for key, lag in (figures.lags or {}).items()},
        restarts=figures.restarts + 1,
    )

    before = {(alert.name, alert.about) for alert in alerts(figures, thresholds)}
    assert before <= {(alert.name, alert.about) for alert in alerts(more, thresholds)}
