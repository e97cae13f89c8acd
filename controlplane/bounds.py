"""What the web server takes of a request before Django sees any of it: so much, and within so long."""

import json
import time
from functools import cache
from http import HTTPStatus
from typing import Any

from daphne.http_protocol import HTTPFactory, WebRequest
from django.conf import settings
from django.template.loader import render_to_string

from controlplane.headers import CONTENT_SECURITY_POLICY

WITHIN_S = 30.0  # from its first line to the end of its body
SOCKET_MESSAGE_MAX_BYTES = 256 * 1024  # the widget's own bound is far below


class BoundedRequest(WebRequest):  # type: ignore[misc]
    """Refuses a body as soon as it is known to be too large: it is on its way to memory or a file."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self._began_s = time.monotonic()
        self._received_bytes = 0
        self._is_refused = False
        super().__init__(*args, **options)

    def gotLength(self, length: int | None) -> None:  # noqa: N802  # Twisted's name
        super().gotLength(length)
        self._count(length or 0)

    def handleContentChunk(self, data: bytes) -> None:  # noqa: N802
        self._received_bytes += len(data)
        self._count(self._received_bytes)
        if not self._is_refused:
            super().handleContentChunk(data)

    def process(self) -> Any:
        return None if self._is_refused else super().process()

    def check_timeouts(self) -> None:
        """Daphne asks every two seconds. Its own limit is on the answer alone."""
        is_whole = hasattr(self, "request_start")
        if not is_whole and time.monotonic() - self._began_s > WITHIN_S:
            self._refuse(
                HTTPStatus.REQUEST_TIMEOUT, "The request took too long to arrive."
            )
        super().check_timeouts()

    def _count(self, size_bytes: int) -> None:
        if size_bytes > settings.BODY_MAX_BYTES:
            detail = f"The body is larger than {settings.BODY_MAX_BYTES:,} bytes."
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, detail)

    def _refuse(self, status: HTTPStatus, detail: str) -> None:
        if self._is_refused:
            return
        self._is_refused = True
        path = self.channel._path  # noqa: SLF001  # the request's own is set when it is whole
        kind, body = _answer(status, detail, is_api=path.startswith(b"/api/"))
        head = (
            f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
            f"Content-Security-Policy: {CONTENT_SECURITY_POLICY}\r\nX-Content-Type-Options: nosniff\r\n"
            "Cache-Control: no-store\r\nConnection: close\r\n\r\n"
        )
        self.channel.transport.write(head.encode() + body)
        self.channel.loseConnection()


class BoundedFactory(HTTPFactory):  # type: ignore[misc]
    def buildProtocol(self, addr: Any) -> Any:  # noqa: N802
        protocol = super().buildProtocol(addr)
        protocol.requestFactory = BoundedRequest
        return protocol


@cache
def _answer(status: HTTPStatus, detail: str, *, is_api: bool) -> tuple[str, bytes]:
    if not is_api:
        page = render_to_string("refused.html", {"detail": detail})
        return "text/html; charset=utf-8", page.encode()
    problem: dict[str, object] = {
        "type": "about:blank",
        "title": status.phrase,
        "status": status.value,
        "detail": detail,
        "errors": [],
    }
    return "application/problem+json", json.dumps(problem).encode()
