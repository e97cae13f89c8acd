"""One client's connection: sends, waits, and notices at once when the client hangs up."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

MAX_HEAD = 64 * 1024


class ClientGoneError(Exception):
    """The client hung up before it had its answer."""


class Peer:
    def __init__(self, reader: asyncio.StreamReader) -> None:
        self.reader = reader
        self.gone = asyncio.Event()
        self._writer: asyncio.StreamWriter | None = None

    def attach(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer

    async def send(self, data: bytes) -> None:
        assert self._writer is not None
        if self.gone.is_set():
            raise ClientGoneError
        self._writer.write(data)
        try:
            await self._writer.drain()
        except ConnectionError:
            raise ClientGoneError from None

    async def pause(self, delay_ms: float) -> None:
        """Wait, and let others run even when there is nothing to wait for."""
        if delay_ms <= 0:
            await asyncio.sleep(0)
        else:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.gone.wait(), delay_ms / 1000)
        if self.gone.is_set():
            raise ClientGoneError

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()


class _Watched(asyncio.StreamReaderProtocol):
    """Tells the peer as soon as its client is gone."""

    def __init__(self, peer: Peer, serve: Callable[[Peer], Awaitable[None]]) -> None:
        super().__init__(peer.reader, self._start, loop=asyncio.get_running_loop())
        self._peer = peer
        self._serve = serve

    async def _start(
        self, _: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._peer.attach(writer)
        await self._serve(self._peer)

    def eof_received(self) -> Any:
        self._peer.gone.set()
        return super().eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self._peer.gone.set()
        super().connection_lost(exc)


async def listen(
    host: str, port: int, serve: Callable[[Peer], Awaitable[None]]
) -> asyncio.Server:
    """Accept clients; `serve` runs once for each."""

    def connect() -> _Watched:
        return _Watched(Peer(asyncio.StreamReader(limit=MAX_HEAD)), serve)

    return await asyncio.get_running_loop().create_server(
        connect, host, port, backlog=1024
    )
