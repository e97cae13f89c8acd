"""A server that says the same bytes to everyone, and writes down what it was sent."""

import asyncio
import re
import socket
import struct
from typing import Self


def ok(body: bytes) -> bytes:
    """Return a whole response whose body is a stream of events."""
    return head(200, f"content-length: {len(body)}") + body


def head(status: int, *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status} Said", "content-type: text/event-stream", *headers]
    return "\r\n".join([*lines, "connection: close", "", ""]).encode()


class Server:
    """Says the pieces one after the other, each when the one before is on its way."""

    def __init__(self, *pieces: bytes, resets: bool = False) -> None:
        self.requests: list[str] = []
        self._pieces = pieces
        self._resets = resets

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/v1"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await self._server.wait_closed()

    async def _answer(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        try:
            self.requests.append(await _request(reader))
        except asyncio.IncompleteReadError:
            writer.close()  # whoever hung up has asked nothing
            return
        for piece in self._pieces:
            writer.write(piece)
            await writer.drain()
        if self._resets:
            # Waiting for nothing makes the end of a connection a reset.
            ended = writer.get_extra_info("socket")
            at_once = struct.pack("ii", 1, 0)
            ended.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)
        writer.close()


async def _request(reader: asyncio.StreamReader) -> str:
    """Read one request, and return its head."""
    request = (await reader.readuntil(b"\r\n\r\n")).decode()
    length = re.search(r"(?i)^content-length: (\d+)", request, re.MULTILINE)
    assert length
    await reader.readexactly(int(length[1]))
    return request
