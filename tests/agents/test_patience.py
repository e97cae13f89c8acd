"""A time limit that a frozen process does not hold against others."""

import asyncio
import time

import pytest

from agents.patience import TICK_S, patience


@pytest.mark.parametrize("seconds", [0.0, 0.05, 2 * TICK_S])
async def test_who_is_too_slow_is_not_waited_for(seconds: float) -> None:
    began_s = time.monotonic()

    with pytest.raises(TimeoutError):
        async with patience(seconds):
            await asyncio.sleep(60)

    assert seconds <= time.monotonic() - began_s < seconds + 5


async def test_time_in_which_we_stood_still_is_not_the_others() -> None:
    answered = asyncio.get_running_loop().create_future()

    async with patience(4 * TICK_S):
        await asyncio.sleep(0)
        time.sleep(8 * TICK_S)  # as a frozen process does
        asyncio.get_running_loop().call_later(TICK_S, answered.set_result, "Yes.")
        assert await answered == "Yes."


async def test_what_ended_in_time_is_not_ended_later() -> None:
    async with patience(TICK_S):
        pass

    await asyncio.sleep(2 * TICK_S)


async def test_another_error_stays_what_it_is() -> None:
    with pytest.raises(ZeroDivisionError):
        async with patience(TICK_S):
            raise ZeroDivisionError
