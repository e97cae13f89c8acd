"""A widget without a browser: it speaks the socket's protocol and keeps every frame it saw."""

import json
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any
from uuid import uuid4

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

Frame = dict[str, Any]


class Widget:
    """One socket of one user. Not thread-safe."""

    def __init__(self, url: str, token: str, *, after: int = 0) -> None:
        self.frames: list[Frame] = []
        self.raw: list[str] = []
        self._open = ExitStack()
        self._socket = self._open.enter_context(connect(url, open_timeout=10))
        self._send({"type": "hello", "token": token, "after": after})
        self.ready = self.until(lambda frame: frame["type"] == "ready")

    def say(self, text: str, *, client_id: str = "") -> str:
        """Send a message; return its id."""
        client_id = client_id or str(uuid4())
        self._send({"type": "message", "id": client_id, "text": text})
        return client_id

    def ask(self, text: str) -> tuple[str, str]:
        """Send a message and wait until it is accepted; return its id and trace id."""
        client_id = self.say(text)
        accepted = self.until(
            lambda frame: frame["type"] == "accepted" and frame["id"] == client_id
        )
        return client_id, accepted["trace_id"]

    def answer(self, client_id: str, *, timeout_s: float = 15) -> Frame:
        return self.until(
            lambda frame: (
                frame["type"] == "message"
                and frame["role"] == "assistant"
                and frame["in_reply_to"] == client_id
            ),
            timeout_s=timeout_s,
        )

    def status(self, trace_id: str, state: str, *, timeout_s: float = 15) -> Frame:
        return self.until(
            lambda frame: (
                frame["type"] == "status"
                and frame["trace_id"] == trace_id
                and frame["state"] == state
            ),
            timeout_s=timeout_s,
        )

    def until(self, is_it: Callable[[Frame], bool], *, timeout_s: float = 15) -> Frame:
        """Return the first frame, seen or still to come, that is_it()."""
        for frame in self.frames:
            if is_it(frame):
                return frame
        deadline_s = time.monotonic() + timeout_s
        while True:
            frame = self._receive(deadline_s)
            if is_it(frame):
                return frame

    @property
    def transcript(self) -> list[tuple[int, str, str]]:
        return [
            (frame["seq"], frame["role"], frame["text"])
            for frame in self.frames
            if frame["type"] == "message"
        ]

    def close(self) -> None:
        self._open.close()

    def __enter__(self) -> "Widget":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _send(self, frame: Frame) -> None:
        self._socket.send(json.dumps(frame))

    def _receive(self, deadline_s: float) -> Frame:
        left_s = max(0.01, deadline_s - time.monotonic())
        try:
            text = str(self._socket.recv(timeout=left_s))
        except TimeoutError:
            raise AssertionError(f"no such frame among {self.frames}") from None
        except ConnectionClosed as error:
            raise AssertionError(f"closed ({error}) after {self.frames}") from None
        self.raw.append(text)
        frame: Frame = json.loads(text)
        self.frames.append(frame)
        return frame
