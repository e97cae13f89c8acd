"""Widgets that are open and say nothing: what each costs a web process."""

import asyncio
import json
from contextlib import AsyncExitStack

from websockets.asyncio.client import connect

from tests.bench.processes import costs
from tests.bench.turns import tokens
from tests.e2e.product import Product

WIDGETS = 5_000
AT_ONCE = 50


def measure(product: Product, web_pid: int) -> dict[str, float]:
    """Return kB of memory a widget, and the CPU of the web process while all are idle."""
    return asyncio.run(_measure(product, web_pid))


async def _measure(product: Product, web_pid: int) -> dict[str, float]:
    names = tokens(WIDGETS)
    async with AsyncExitStack() as opened:
        await _open(
            opened, product.socket_url, names[:AT_ONCE]
        )  # loads what is loaded once
        before = costs({"web": web_pid})["web"]
        for start in range(AT_ONCE, WIDGETS, AT_ONCE):
            await _open(opened, product.socket_url, names[start : start + AT_ONCE])
        after = costs({"web": web_pid})["web"]
        await asyncio.sleep(10)
        later = costs({"web": web_pid})["web"]
    return {
        "kb_each": (after.memory_mb - before.memory_mb) * 1024 / (WIDGETS - AT_ONCE),
        "cpu_percent": (later.cpu_s - after.cpu_s) * 10,
    }


async def _open(opened: AsyncExitStack, url: str, names: list[str]) -> None:
    async def one(token: str) -> None:
        socket = await opened.enter_async_context(
            connect(url, open_timeout=60, compression=None, ping_interval=None)
        )
        await socket.send(json.dumps({"type": "hello", "token": token, "after": 0}))
        await socket.recv()

    await asyncio.gather(*(one(token) for token in names))
