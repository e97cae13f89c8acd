"""A stand-in for the chat's server: serves the static files and host pages, and speaks whatever frames a test tells it to."""

import asyncio
import base64
import hashlib
import json
import mimetypes
import queue
import struct
from pathlib import Path
from typing import Any

from tests.loop_thread import LoopThread

STATIC = Path(__file__).parents[2] / "static"
POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; img-src 'self'; connect-src 'self'; require-trusted-types-for 'script'"
WAIT = 8.0
Frame = dict[str, Any]


class Socket:
    """The server's end of one widget's websocket."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, writer: asyncio.StreamWriter
    ) -> None:
        self.loop = loop
        self.writer = writer
        self.received: queue.Queue[Frame] = queue.Queue()
        self.acknowledged: queue.Queue[int] = queue.Queue()  # in frames of their own
        self.hello: Frame = {}

    def take(self, frame: Frame) -> None:
        if frame["type"] == "received":
            self.acknowledged.put(frame["seq"])
        else:
            self.received.put(frame)

    def expect(self, kind: str) -> Frame:
        """The next frame from the widget, which must be of this type."""
        frame = self.received.get(timeout=WAIT)
        assert frame["type"] == kind, frame
        return frame

    def is_silent(self) -> bool:
        return self.received.empty()

    def send(self, kind: str, **fields: Any) -> None:
        data = json.dumps({"type": kind} | fields).encode()
        size = (
            bytes([len(data)])
            if len(data) < 126
            else b"\x7e" + struct.pack(">H", len(data))
        )
        self.loop.call_soon_threadsafe(self.writer.write, b"\x81" + size + data)

    def close(self) -> None:
        """Gone without a word, as when a process dies."""
        self.loop.call_soon_threadsafe(self.writer.transport.abort)


class StandIn:
    """One port for pages, files and sockets, on a thread of its own."""

    def __init__(self, policy: str = POLICY) -> None:
        self.policy = policy
        self.loop = LoopThread()
        self.sockets: queue.Queue[Socket] = queue.Queue()
        self.pages: dict[str, str] = {}
        self.tokens_asked = 0
        self.is_refusing = False
        self.writers: set[asyncio.StreamWriter] = set()

    def start(self) -> None:
        server = self.loop.run(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.server = server
        self.address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"

    def stop(self) -> None:
        self.loop.run(self._shut())
        self.loop.close()

    def next_socket(self) -> Socket:
        return self.sockets.get(timeout=WAIT)

    def reset(self) -> None:
        """Nothing of one test is left for the next."""
        self.is_refusing = False
        self.tokens_asked = 0
        self.sockets = queue.Queue()

    async def _shut(self) -> None:
        self.server.close()
        for writer in self.writers:
            writer.transport.abort()

    async def _serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.writers.add(writer)
        try:
            await self._answer(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.transport.abort()
            self.writers.discard(writer)

    async def _answer(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        path = head.split(" ", 2)[1].partition("?")[0]
        headers = dict(
            line.lower().split(": ", 1)
            for line in head.split("\r\n")[1:]
            if ": " in line
        )
        if path == "/ws/chat/":
            key = head.lower().index("sec-websocket-key: ") + 19
            await self._converse(head[key : head.index("\r\n", key)], reader, writer)
        else:
            status, kind, body = self._file(path, headers)
            writer.write(
                f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
                f"Content-Security-Policy: {self.policy}\r\nConnection: close\r\n"
                "Access-Control-Allow-Origin: *\r\n\r\n".encode()
                + body
            )
            await writer.drain()

    def _file(self, path: str, headers: dict[str, str]) -> tuple[str, str, bytes]:
        if path == "/token/" and not self.is_refusing:
            self.tokens_asked += 1
            token = f"token-{self.tokens_asked}"
            return "200 OK", "application/json", json.dumps({"token": token}).encode()
        if path in self.pages:
            kind = mimetypes.guess_type(path)[0] or "text/html; charset=utf-8"
            return "200 OK", kind, self.pages[path].encode()
        file = STATIC / path.removeprefix("/static/")
        if path.startswith("/static/") and file.is_file():
            return (
                "200 OK",
                mimetypes.guess_type(path)[0] or "text/plain",
                file.read_bytes(),
            )
        return "404 Not Found", "text/plain", b""

    async def _converse(
        self, key: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        if self.is_refusing:
            return
        seal = hashlib.sha1(
            f"{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode(), usedforsecurity=False
        ).digest()
        writer.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + base64.b64encode(seal) + b"\r\n\r\n"
        )
        socket = Socket(self.loop.loop, writer)
        self.sockets.put(socket)
        while (text := await read_frame(reader)) is not None:
            socket.take(json.loads(text))


async def read_frame(reader: asyncio.StreamReader) -> bytes | None:
    """One text frame of a browser (masked, never in parts here); None when it says good-bye."""
    first, second = await reader.readexactly(2)
    size = second & 0x7F
    if size == 126:
        (size,) = struct.unpack(">H", await reader.readexactly(2))
    mask = await reader.readexactly(4)
    data = await reader.readexactly(size)
    if first & 0x0F != 1:
        return None
    return bytes(byte ^ mask[i % 4] for i, byte in enumerate(data))
