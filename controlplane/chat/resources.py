"""What a web process keeps open for the chat: connections, a producer, control state, the hub."""

import asyncio
from weakref import WeakKeyDictionary

from django.conf import settings

from agents.control import Control
from agents.host import conninfo
from agents.interpreter import tune_interpreter
from agents.postgres import Database
from agents.publisher import Publisher
from controlplane.chat.hub import Hub


class Resources:
    """One set per event loop; a web process has one loop."""

    def __init__(self) -> None:
        self.database = Database(conninfo())
        self.publisher = Publisher(settings.KAFKA)
        self.control = Control(conninfo())
        self.hub = Hub(self.database, self.control)
        self._opening: asyncio.Future[None] | None = None

    async def open(self) -> None:
        """Open once, however many ask at the same time."""
        if self._opening is None:
            self._opening = asyncio.ensure_future(self._open())
        await asyncio.shield(self._opening)

    async def _open(self) -> None:
        tune_interpreter()
        await self.database.open()
        self.control.start()
        self.hub.start()

    async def close(self) -> None:
        await self.hub.stop()
        await asyncio.to_thread(self.control.stop)
        await self.database.close()
        await asyncio.to_thread(self.publisher.close)


_kept: WeakKeyDictionary[asyncio.AbstractEventLoop, Resources] = WeakKeyDictionary()


async def resources() -> Resources:
    """Return this loop's resources, open."""
    loop = asyncio.get_running_loop()
    kept = _kept.get(loop)
    if kept is None:
        kept = _kept[loop] = Resources()
    await kept.open()
    return kept


async def close_resources() -> None:
    """Close what this loop holds, if anything."""
    kept = _kept.pop(asyncio.get_running_loop(), None)
    if kept is not None:
        await kept.close()
