"""A widget that talks to the real application."""

from types import TracebackType
from typing import Any, Self
from uuid import uuid4

from channels.testing import WebsocketCommunicator

from controlplane.asgi import application
from controlplane.chat import tokens

PATIENCE_S = 5.0


class Widget:
    """An open socket. Frames of other types are put aside while one is awaited."""

    def __init__(self, *, user: str = "", tier: str = "free", origin: str = "") -> None:
        self.user = user or uuid4().hex
        self.token = tokens.issue(self.user, tier=tier)
        self.conversation_id = tokens.read(self.token).conversation_id
        self.pseudonym = tokens.pseudonym_of(self.user)
        headers = [(b"host", b"shop.example")]
        if origin:
            headers.append((b"origin", origin.encode()))
        self.socket = WebsocketCommunicator(application, "/ws/chat/", headers=headers)
        self.frames: list[dict[str, Any]] = []

    async def __aenter__(self) -> Self:
        connected, _ = await self.socket.connect(PATIENCE_S)
        assert connected
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.socket.disconnect(timeout=PATIENCE_S)

    async def hello(
        self, *, after: int = 0, token: str | None = None
    ) -> dict[str, Any]:
        await self.send(type="hello", token=token or self.token, after=after)
        return await self.receive("ready")

    async def send(self, **frame: Any) -> None:
        await self.socket.send_json_to(frame)

    async def say(self, text: str, id: str = "", **fields: Any) -> str:  # noqa: A002  # the frame's name
        client_id = id or str(uuid4())
        await self.send(type="message", id=client_id, text=text, **fields)
        return client_id

    async def next(self, timeout_s: float = PATIENCE_S) -> dict[str, Any]:
        frame: dict[str, Any] = await self.socket.receive_json_from(timeout_s)
        self.frames.append(frame)
        return frame

    async def receive(
        self, kind: str, *, timeout_s: float = PATIENCE_S
    ) -> dict[str, Any]:
        """Return the next frame of a type."""
        while (frame := await self.next(timeout_s))["type"] != kind:
            pass
        return frame

    async def status(self, state: str) -> dict[str, Any]:
        while (frame := await self.receive("status"))["state"] != state:
            pass
        return frame

    async def has_said(self, state: str) -> dict[str, Any]:
        """Return the status, which may have come before another frame that was awaited."""
        for frame in self.frames:
            if (frame["type"], frame.get("state")) == ("status", state):
                return frame
        return await self.status(state)

    async def closed(self) -> int:
        """Return the code with which the server hung up."""
        output = await self.socket.receive_output(PATIENCE_S)
        assert output["type"] == "websocket.close", output
        return int(output["code"])
