"""Trying again, which costs nothing while nothing fails."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from tenacity import AsyncRetrying

T = TypeVar("T")


async def retried(
    call: Callable[[], Awaitable[T]], make: Callable[[], AsyncRetrying]
) -> T:
    """Await call(), and leave it to what make() returns only when it fails.

    The failure counts there as the first attempt: number and pauses are what make() says.
    """
    try:
        return await call()
    except Exception as error:  # make() says which of them are worth another try
        failures = [error]

    async def attempt() -> T:
        if failures:
            raise failures.pop()
        return await call()

    return await make()(attempt)
