import pytest

from agents.scorers.breaker import FAILURES, REST_S, Breaker, OpenError


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def fail(breaker: Breaker, error: Exception) -> None:
    with pytest.raises(type(error)), breaker.guard(TimeoutError):
        raise error


def test_after_failures_in_a_row_nobody_asks_until_it_had_its_rest() -> None:
    clock = Clock()
    breaker = Breaker(clock)
    for _ in range(FAILURES):
        fail(breaker, TimeoutError("too slow"))

    with pytest.raises(OpenError, match="3 times in a row and is spared: too slow"):  # noqa: SIM117
        with breaker.guard(TimeoutError):
            pytest.fail("it was asked")
    clock.now_s += REST_S

    with breaker.guard(TimeoutError):
        pass
    with breaker.guard(TimeoutError):
        pass


def test_only_one_tries_after_the_rest_and_its_failure_begins_the_next() -> None:
    clock = Clock()
    breaker = Breaker(clock)
    for _ in range(FAILURES):
        fail(breaker, TimeoutError())
    clock.now_s += REST_S

    with pytest.raises(TimeoutError), breaker.guard(TimeoutError):  # noqa: PT012
        with pytest.raises(OpenError), breaker.guard(TimeoutError):
            pytest.fail("a second one was let through")
        raise TimeoutError
    with pytest.raises(OpenError, match="4 times in a row"), breaker.guard():
        pytest.fail("it was asked at once")


def test_a_success_between_and_failures_of_another_kind_count_for_nothing() -> None:
    breaker = Breaker(Clock())
    for _ in range(FAILURES - 1):
        fail(breaker, TimeoutError())
    for _ in range(FAILURES):
        fail(breaker, ValueError("its own fault"))
    with breaker.guard(TimeoutError):
        pass
    for _ in range(FAILURES - 1):
        fail(breaker, TimeoutError())

    with breaker.guard(TimeoutError):
        pass
