"""Looking at something slow."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count

import pytest

from controlplane import fresh
from controlplane.fresh import Fresh
from tests.waiting import wait_for


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr("controlplane.fresh.time.monotonic", lambda: now[0])
    return now


@pytest.fixture
def looks() -> Iterator[int]:
    return count(1)


def test_what_was_seen_a_moment_ago_is_seen_again(
    clock: list[float], looks: Iterator[int]
) -> None:
    kept = Fresh(lambda: next(looks))

    assert [kept.read(), kept.read()] == [1, 1]
    clock[0] += fresh.KEPT_S + 0.1
    assert [kept.read(), kept.read()] == [2, 2]


def test_nobody_waits_for_a_look_while_something_was_seen_lately(
    clock: list[float],
) -> None:
    """A service that is away answers after a second; the page is there at once."""
    may_look, looked = threading.Event(), iter((1, 2))
    may_look.set()

    def look() -> int:
        assert may_look.wait(10)
        return next(looked)

    kept = Fresh(look)
    kept.read()
    may_look.clear()
    clock[0] += fresh.FRESH_S + 0.1

    assert [kept.read(), kept.read()] == [1, 1]
    may_look.set()
    wait_for(lambda: kept.read() == 2)


def test_one_looks_for_all_who_ask_at_once(looks: Iterator[int]) -> None:
    kept = Fresh(lambda: next(looks))

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(lambda _: kept.read(), range(8))) == {1}


def test_what_failed_is_looked_at_again() -> None:
    answers = ["there", ""]

    def look() -> str:
        answer = answers.pop()
        if not answer:
            raise ValueError("not yet")
        return answer

    kept = Fresh(look)
    with pytest.raises(ValueError, match="not yet"):
        kept.read()
    assert kept.read() == "there"
