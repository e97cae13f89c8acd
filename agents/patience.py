"""A time limit for others, which does not charge them for the time in which we stood still."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

TICK_S = 0.25


@asynccontextmanager
async def patience(seconds: float) -> AsyncIterator[None]:
    """As asyncio.timeout(), but of a time without a turn of the loop two ticks count.

    A process that was frozen finds on its wake-up what was answered meanwhile, and a time limit
    that has passed: it would ask again, whatever was stopped while it slept.
    """
    loop = asyncio.get_running_loop()
    left_s, seen_s = seconds, loop.time()
    waking: asyncio.TimerHandle | None = None

    def tick() -> None:
        nonlocal left_s, seen_s, waking
        now_s = loop.time()
        left_s -= min(now_s - seen_s, 2 * TICK_S)
        seen_s = now_s
        if left_s <= 0:
            limit.reschedule(now_s)
        else:
            waking = loop.call_later(min(TICK_S, left_s), tick)

    async with asyncio.timeout(None) as limit:
        waking = loop.call_later(min(TICK_S, left_s), tick)
        try:
            yield
        finally:
            waking.cancel()
