"""What alerts are about, as the rows tell."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from controlplane.chat.models import Outcome, Turn
from controlplane.home.alerts import Alert, Figures, OldestTurn
from controlplane.home.backlog import Backlog
from controlplane.home.figures import Sightings, measure, thresholds
from tests.factories import make_approval, make_turn
from tests.home.making import make_heartbeat

pytestmark = pytest.mark.django_db


def ago(**length: float) -> datetime:
    return timezone.now() - timedelta(**length)


def figures() -> Figures:
    return measure(Backlog(lags={}, dead_letters_per_minute=0.0))


def make_open(**fields: Any) -> Turn:
    turn = make_turn(**fields)
    Outcome.objects.create(turn=turn, state="open")
    return turn


# Turns


def test_the_oldest_turn_is_the_oldest_without_an_outcome() -> None:
    Outcome.objects.create(turn=make_turn(created_at=ago(hours=9)), state="delivered")
    Outcome.objects.create(turn=make_turn(created_at=ago(hours=8)), state="failed")
    make_open()
    oldest = make_open(created_at=ago(minutes=5))

    told = figures()

    assert told.oldest_turn == OldestTurn(oldest.trace_id, oldest.created_at)
    assert told.unfinished == 2
    assert told.oldest_turn_waits >= timedelta(minutes=5)


def test_held_turns_wait_for_people_and_are_counted_apart() -> None:
    make_approval(make_turn(created_at=ago(hours=2)))

    told = figures()

    assert (told.oldest_turn, told.unfinished, told.held) == (None, 0, 1)


def test_what_no_agent_has_taken_in_yet_is_unfinished() -> None:
    turn = make_turn(accepted_at=None, created_at=ago(minutes=5))

    told = figures()

    assert told.oldest_turn == OldestTurn(turn.trace_id, turn.created_at)
    assert told.unfinished == 1


def test_what_kafka_never_confirmed_is_not_waited_for_longer_than_an_hour() -> None:
    make_turn(accepted_at=None, created_at=ago(minutes=61))

    assert figures().oldest_turn is None


def test_a_clock_that_runs_behind_is_no_negative_age() -> None:
    make_open(created_at=ago(seconds=-30))

    assert figures().oldest_turn_waits == timedelta(0)


# Restarts


def test_a_first_start_is_no_restart() -> None:
    make_heartbeat(started_at=ago(minutes=1))

    assert figures().restarts == 0


def test_a_crash_without_a_start_is_no_restart() -> None:
    make_heartbeat(started_at=ago(hours=5))
    make_heartbeat(started_at=ago(hours=5), age_s=60)

    assert figures().restarts == 0


def test_a_worker_that_crashes_again_and_again_is_counted() -> None:
    for age_s in (3_000, 2_000, 1_000):
        make_heartbeat(started_at=ago(seconds=age_s + 1), age_s=age_s)
    make_heartbeat(started_at=ago(minutes=1))

    assert figures().restarts == 3


def test_restarts_are_forgotten_after_an_hour() -> None:
    make_heartbeat(started_at=ago(hours=2), age_s=3_700)
    make_heartbeat(started_at=ago(seconds=3_690))

    assert figures().restarts == 0


# Thresholds and sightings


def test_thresholds_are_the_settings(settings: object) -> None:
    settings.ALERT_LAG_RECORDS = 5  # type: ignore[attr-defined]

    assert thresholds().lag_records == 5
    assert thresholds().oldest_turn_s == 60


def alert(about: str, since: datetime | None = None) -> Alert:
    return Alert(
        name="lag",
        state="soft",
        word="behind",
        what="x",
        figure="1",
        threshold="0",
        about=about,
        since=since,
    )


def test_an_alert_is_dated_when_it_is_first_seen_until_it_is_over() -> None:
    kept, start = Sightings(), timezone.now()
    later, last = start + timedelta(seconds=5), start + timedelta(seconds=10)

    assert [each.since for each in kept.date([alert("a")], start)] == [start]
    both = kept.date([alert("a"), alert("b")], later)
    assert [each.since for each in both] == [start, later]
    assert kept.date([alert("b")], later)
    [again] = kept.date([alert("a")], last)
    assert again.since == last


def test_an_alert_that_knows_its_time_keeps_it() -> None:
    exact = ago(minutes=3)

    [dated] = Sightings().date([alert("a", exact)], timezone.now())

    assert dated.since == exact
