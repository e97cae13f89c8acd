"""Chat load on widget sockets at an even rate, and the time from each question to its answer."""

import asyncio
import json
import math
import time
from collections.abc import Sequence
from uuid import uuid4

import msgspec
from websockets.asyncio.client import ClientConnection, connect

QUESTION = "What's the latest model of Mercedes?"
SETTLE_S = 20.0


class Load(msgspec.Struct, frozen=True):
    """What one run came to. Times are seconds from the socket to the socket."""

    turns_per_s: float
    asked: int
    answers_s: tuple[float, ...]

    def percentile_ms(self, percent: float) -> float:
        """Return infinity when so many were not answered at all."""
        place = math.ceil(self.asked * percent / 100) - 1
        times = sorted(self.answers_s)
        return times[place] * 1000 if place < len(times) else math.inf

    @property
    def latest_ms(self) -> float:
        return self.percentile_ms(100)


class _User:
    """One socket. Its questions are told from each other by their ids."""

    def __init__(self, socket: ClientConnection) -> None:
        self.asked: dict[str, float] = {}
        self.answers_s: list[float] = []
        self._socket = socket
        self._reading = asyncio.create_task(self._read())

    async def ask(self) -> None:
        client_id = str(uuid4())
        self.asked[client_id] = time.perf_counter()
        question = {"type": "message", "id": client_id, "text": QUESTION}
        await self._socket.send(json.dumps(question))

    async def close(self) -> None:
        self._reading.cancel()
        await self._socket.close()

    async def _read(self) -> None:
        async for text in self._socket:
            frame = json.loads(text)
            if frame["type"] == "message" and frame["role"] == "assistant":
                began = self.asked.pop(frame["in_reply_to"], None)
                if began is not None:
                    self.answers_s.append(time.perf_counter() - began)
                told = {"type": "received", "seq": frame["seq"]}  # as the widget does
                await self._socket.send(json.dumps(told))


async def run(
    url: str, tokens: Sequence[str], *, turns_per_s: float, seconds: float
) -> Load:
    """Ask at an even rate, each time by the next user, whatever is still unanswered."""
    users = [await _open(url, token) for token in tokens]
    try:
        asked = await _ask(users, turns_per_s, seconds)
        await _settle(users)
    finally:
        await asyncio.gather(*(user.close() for user in users))
    answers_s = tuple(took for user in users for took in user.answers_s)
    return Load(turns_per_s, asked, answers_s)


async def _open(url: str, token: str) -> _User:
    socket = await connect(url, open_timeout=20, max_queue=None)
    await socket.send(json.dumps({"type": "hello", "token": token, "after": 0}))
    await socket.recv()  # ready
    return _User(socket)


async def _ask(users: Sequence[_User], turns_per_s: float, seconds: float) -> int:
    began, total = time.perf_counter(), int(turns_per_s * seconds)
    for number in range(total):
        await asyncio.sleep(
            max(0.0, began + number / turns_per_s - time.perf_counter())
        )
        await users[number % len(users)].ask()
    return total


async def _settle(users: Sequence[_User]) -> None:
    deadline = time.perf_counter() + SETTLE_S
    while any(user.asked for user in users) and time.perf_counter() < deadline:
        await asyncio.sleep(0.05)
