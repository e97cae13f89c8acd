"""Records per second, from two heartbeats."""

from datetime import UTC, datetime, timedelta

import pytest

from controlplane.home import rates
from controlplane.home.rates import Rates

START = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def test_is_unknown_until_there_are_two_heartbeats() -> None:
    kept = Rates()

    assert kept.per_second("w1", "gate", seen_at=at(0), done=100) is None
    assert kept.per_second("w1", "gate", seen_at=at(0), done=100) is None


def test_is_the_difference_over_the_time_between() -> None:
    kept = Rates()
    kept.per_second("w1", "gate", seen_at=at(0), done=100)

    assert kept.per_second("w1", "gate", seen_at=at(2), done=130) == 15
    assert kept.per_second("w1", "gate", seen_at=at(2), done=130) == 15
    assert kept.per_second("w1", "gate", seen_at=at(4), done=130) == 0


def test_workers_and_agents_are_told_apart() -> None:
    kept = Rates()
    kept.per_second("w1", "gate", seen_at=at(0), done=100)

    assert kept.per_second("w2", "gate", seen_at=at(2), done=200) is None
    assert kept.per_second("w1", "intake", seen_at=at(2), done=200) is None


def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates, "MAX_KEPT", 3)
    kept = Rates()
    for number in range(10):
        kept.per_second(f"w{number}", "gate", seen_at=at(0), done=0)

    assert len(kept._samples) <= 3
