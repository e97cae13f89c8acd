"""Stands between widgets and the site, and cuts a socket after its n-th frame, in whichever direction."""

import asyncio
import struct
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

from tests.loop_thread import LoopThread

# The n-th connection of a path is cut after so many frames; None: never.
FramesOf = Callable[[int], int | None]


class Socket:
    """One websocket and how many frames it has carried."""

    def __init__(self, limit: int | None, cut: Callable[[], None]) -> None:
        self.carried = 0
        self.limit = limit
        self._cut = cut

    def count(self) -> None:
        self.carried += 1
        if self.carried == self.limit:
            self._cut()


class CuttingProxy:
    """Passes HTTP on as it is; of a websocket it knows the frames."""

    def __init__(self, port: int, frames_of: FramesOf) -> None:
        self.cuts: list[int] = []  # after how many frames
        self.frames_of = frames_of
        self._upstream = port
        self._opened = 0
        self._loop = LoopThread()
        self._ends: set[asyncio.StreamWriter] = set()

    def __enter__(self) -> "CuttingProxy":
        self._server = self._loop.run(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.port = int(self._server.sockets[0].getsockname()[1])
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.run(self._shut())
        self._loop.close()

    async def _shut(self) -> None:
        self._server.close()
        for writer in self._ends:
            writer.transport.abort()

    async def _serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        there = await asyncio.open_connection("127.0.0.1", self._upstream)
        ends = {writer, there[1]}
        self._ends |= ends
        try:
            with suppress(asyncio.IncompleteReadError, ConnectionError):
                await self._carry(reader, writer, *there)
        finally:
            for end in ends:
                end.transport.abort()
            self._ends -= ends

    async def _carry(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        from_site: asyncio.StreamReader,
        to_site: asyncio.StreamWriter,
    ) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        to_site.write(head)
        if b"upgrade: websocket" not in head.lower():
            await _first(_pipe(reader, to_site), _pipe(from_site, writer))
            return
        writer.write(await from_site.readuntil(b"\r\n\r\n"))
        socket = self._open(writer, to_site)
        await _first(
            _pipe_frames(reader, to_site, socket),
            _pipe_frames(from_site, writer, socket),
        )

    def _open(self, *ends: asyncio.StreamWriter) -> Socket:
        def cut() -> None:
            self.cuts.append(socket.carried)
            for end in ends:
                end.close()  # what was written is still sent

        socket = Socket(self.frames_of(self._opened), cut)
        self._opened += 1
        return socket


async def _first(*ways: Coroutine[Any, Any, None]) -> None:
    """Both ways end when one does."""
    tasks = [asyncio.create_task(way) for way in ways]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65_536):
        writer.write(data)
        await writer.drain()
    await writer.drain()


async def _pipe_frames(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, socket: Socket
) -> None:
    while not writer.is_closing():
        writer.write(await _frame(reader))
        await writer.drain()
        socket.count()


async def _frame(reader: asyncio.StreamReader) -> bytes:
    """Return the bytes of one frame as they came."""
    head = await reader.readexactly(2)
    length = head[1] & 0x7F
    if length > 125:
        form = ">H" if length == 126 else ">Q"
        more = await reader.readexactly(struct.calcsize(form))
        head += more
        [length] = struct.unpack(form, more)
    mask = 4 if head[1] & 0x80 else 0
    return head + await reader.readexactly(mask + length)
