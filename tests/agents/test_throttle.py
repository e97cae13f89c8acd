import pytest

from agents import throttle
from agents.throttle import Throttle

REFUSED = "127.0.0.1:9092/1: Connect to ipv4#127.0.0.1:9092 failed: Connection refused"


class Clock:
    now_s = 1000.0

    def monotonic(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(throttle, "time", made)
    return made


def test_a_complaint_passes_once_a_minute_with_how_often_it_came(clock: Clock) -> None:
    said = Throttle()
    assert said.admit(REFUSED) == 0
    assert [said.admit(REFUSED) for _ in range(3)] == [None, None, None]

    clock.now_s += 61

    assert said.admit(REFUSED) == 3
    assert said.admit(REFUSED) is None


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (REFUSED, f"[thrd:127.0.0.1:9092/1]: {REFUSED}"),
        (
            f"{REFUSED} (after 0ms in state CONNECT)",
            f"{REFUSED} (after 12ms in state CONNECT, 3 identical error(s) suppressed)",
        ),
        ("1/3 brokers are down", "3/3 brokers are down"),
        (
            "b/1: 1 request(s) timed out: disconnect (average rtt 0.1ms)",
            "b/1: 7 request(s) timed out: disconnect (average rtt 2.0ms)",
        ),
    ],
)
def test_the_same_complaint_in_other_words_is_one(first: str, second: str) -> None:
    said = Throttle()

    assert said.admit(first) == 0
    assert said.admit(second) is None


def test_another_complaint_passes(clock: Clock) -> None:
    said = Throttle()

    assert said.admit(REFUSED) == 0
    assert said.admit(REFUSED.replace("/1:", "/2:")) == 0


def test_what_is_over_is_forgotten(clock: Clock) -> None:
    said = Throttle()
    said.admit(REFUSED)
    clock.now_s += 121

    said.admit("1/1 brokers are down")

    assert len(said._said) == 1
