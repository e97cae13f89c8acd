"""What is tried again: only what failed, and as often and as late as it was declared."""

import pytest
from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception_type,
    stop_after_attempt,
    wait_none,
)

from agents.retries import retried


class Call:
    """Fails as it is told, then answers with the number of the try."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.tries = 0

    async def __call__(self) -> int:
        self.tries += 1
        if self.failures:
            raise self.failures.pop(0)
        return self.tries


class Machinery:
    """Three attempts after OSError; writes down that it was made and before which it waited."""

    def __init__(self) -> None:
        self.made = 0
        self.waited: list[tuple[int, BaseException | None]] = []

    def __call__(self) -> AsyncRetrying:
        self.made += 1
        return AsyncRetrying(
            retry=retry_if_exception_type(OSError),
            stop=stop_after_attempt(3),
            wait=wait_none(),
            before_sleep=self._wait,
            reraise=True,
        )

    def _wait(self, state: RetryCallState) -> None:
        assert state.outcome is not None
        self.waited.append((state.attempt_number, state.outcome.exception()))


async def test_what_succeeds_makes_no_machinery() -> None:
    call, machinery = Call(), Machinery()

    assert await retried(call, machinery) == 1
    assert (call.tries, machinery.made) == (1, 0)


async def test_the_first_failure_is_the_first_attempt_and_waited_after() -> None:
    first, second = OSError("first"), OSError("second")
    call, machinery = Call(first, second), Machinery()

    assert await retried(call, machinery) == 3
    assert machinery.waited == [(1, first), (2, second)]
    assert machinery.made == 1


async def test_there_are_as_many_attempts_as_declared_and_the_last_failure_is_raised() -> (
    None
):
    failures = [OSError(str(number)) for number in range(9)]
    call, machinery = Call(*failures), Machinery()

    with pytest.raises(OSError, match="2") as caught:
        await retried(call, machinery)

    assert caught.value is failures[2]
    assert call.tries == 3


async def test_what_is_not_worth_a_try_is_raised_at_once() -> None:
    error = ValueError("it would fail the same way")
    call, machinery = Call(error), Machinery()

    with pytest.raises(ValueError, match="the same way") as caught:
        await retried(call, machinery)

    assert caught.value is error
    assert (call.tries, machinery.waited) == (1, [])
