"""Just enough HTTP/1.1 for a JSON API: reading requests, writing responses and chunks."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl, urlsplit

MAX_BODY = 4 * 1024 * 1024
MAX_DRAINED = 64 * 1024 * 1024
DEMO_HEADER = "x-interlock-demo-model"


class HttpError(Exception):
    """A request that gets an error response; `closes` when the connection is of no more use."""

    def __init__(self, status: int, message: str, *, closes: bool = False) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.closes = closes


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes

    @property
    def keeps_alive(self) -> bool:
        return self.headers.get("connection", "").casefold() != "close"


@dataclass(frozen=True)
class Response:
    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


def json_response(payload: Any, status: int = 200, **headers: str) -> Response:
    body = json.dumps(payload, ensure_ascii=False).encode(errors="replace")
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(status, body, named)


async def read_request(reader: asyncio.StreamReader) -> Request | None:
    """Read one request; None when the client has hung up between two."""
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except asyncio.IncompleteReadError as error:
        if error.partial.strip():
            raise HttpError(400, "The request ended early.", closes=True) from None
        return None
    except asyncio.LimitOverrunError:
        raise HttpError(
            431, "The request headers are too large.", closes=True
        ) from None
    method, target, headers = _parse_head(head)
    body = await _read_body(reader, headers)
    parts = urlsplit(target)
    return Request(method, parts.path, dict(parse_qsl(parts.query)), headers, body)


def _parse_head(head: str) -> tuple[str, str, dict[str, str]]:
    first, *lines = head.strip("\r\n").split("\r\n")
    words = first.split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1."):  # noqa: PLR2004
        raise HttpError(400, "This is not an HTTP/1.1 request.", closes=True)
    pairs = (line.partition(":") for line in lines)
    return (
        words[0],
        words[1],
        {name.casefold(): value.strip() for name, _, value in pairs},
    )


async def _read_body(reader: asyncio.StreamReader, headers: Mapping[str, str]) -> bytes:
    if "transfer-encoding" in headers:
        raise HttpError(411, "Send a Content-Length.", closes=True)
    length = headers.get("content-length", "0")
    if not (length.isascii() and length.isdigit()):
        raise HttpError(400, "Content-Length is not a number.", closes=True)
    if int(length) > MAX_BODY:
        await _drain(reader, int(length))
        raise HttpError(413, "The request body is too large.", closes=True)
    try:
        return await reader.readexactly(int(length))
    except asyncio.IncompleteReadError:
        raise HttpError(400, "The request ended early.", closes=True) from None


async def _drain(reader: asyncio.StreamReader, length: int) -> None:
    """Read a refused body away, or the client could not read why it was refused."""
    left = min(length, MAX_DRAINED)
    while left > 0 and (data := await reader.read(64 * 1024)):
        left -= len(data)


def head(status: int, headers: Mapping[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status} {_phrase(status)}", f"{DEMO_HEADER}: 1"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Scripted"


def encode(response: Response, *, keeps_alive: bool) -> bytes:
    headers = {
        "content-type": "application/json",
        "content-length": str(len(response.body)),
        "connection": "keep-alive" if keeps_alive else "close",
        **response.headers,
    }
    return head(response.status, headers) + response.body


def stream_head() -> bytes:
    headers = {
        "content-type": "text/event-stream; charset=utf-8",
        "cache-control": "no-store",
        "transfer-encoding": "chunked",
    }
    return head(200, headers)


def chunk(data: bytes) -> bytes:
    """One piece of a chunked body; the empty one ends it."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def event(data: str) -> bytes:
    return chunk(f"data: {data}\n\n".encode(errors="replace"))
