"""A widget that outlives its connections: it does with frames what static/widget does."""

import asyncio
import json
import random
import time
from contextlib import suppress
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from tests.soak.facts import Client, Line, Said, Told, Window

ANSWER_WITHIN_S = 15.0  # a socket that says nothing for so long after we spoke is dead
WORD_WITHIN_S = 2.0  # of an accepted question its state is told; else the widget says that it is not
STEADY_S = 10.0  # a connection that lasted so long was a good one
LONGEST_WAIT_S = 5.0  # the page's widget waits up to 30 s: a soak has no time for that

Frame = dict[str, Any]


class Widget:
    """Keeps what is not accepted, sends one message at a time, comes back with its cursor.

    urls: the web processes behind a load balancer; each connection goes to any of them.
    """

    def __init__(
        self, client: Client, token: str, urls: list[str], chance: random.Random
    ) -> None:
        self.client = client
        self.pending: list[Said] = []
        self._token = token
        self._urls = urls
        self._chance = chance
        self._socket: ClientConnection | None = None
        self._ready_s = 0.0
        self._lost_s = time.time()
        self._sent: Said | None = None
        self._tries = 0
        self._refusals = 0
        self._watch: asyncio.TimerHandle | None = None
        self._awaited: set[str] = set()  # traces that were accepted
        self._heard_of: set[str] = set()
        self._owed: set[str] = set()  # accepted on this connection, and no word since
        self._again: asyncio.TimerHandle | None = None
        self._sending: set[asyncio.Task[None]] = set()

    def say(self, said: Said) -> None:
        self.client.said.append(said)
        self.pending.append(said)
        self._pump()

    async def run(self) -> None:
        """Stay connected until cancelled."""
        while True:
            with suppress(OSError, WebSocketException, TimeoutError):
                async with self._connected() as socket:
                    await self._talk(socket)
            self._hang_up()
            await asyncio.sleep(self._jittered(self._tries))
            self._tries += 1

    async def show_again(self) -> list[Line]:
        """Return what a widget shows that knows nothing yet."""
        async with self._connected() as socket, asyncio.timeout(30):
            await socket.send(self._hello(after=0))
            ready = json.loads(await socket.recv())
            lines: list[Line] = []
            while len(lines) < ready["seq"]:
                frame = json.loads(await socket.recv())
                if frame["type"] == "message":
                    lines.append(_line(frame))
        return lines

    # The connection

    def _connected(self) -> connect:
        url = self._chance.choice(self._urls)
        return connect(url, open_timeout=ANSWER_WITHIN_S, ping_interval=None)

    async def _talk(self, socket: ClientConnection) -> None:
        self._socket = socket
        seen = self.client.live
        self._transmit(self._hello(after=seen[-1].seq if seen else 0))
        async for text in socket:
            self._heard()
            self._take(json.loads(text))
            if self._owed:
                self._watch_socket()

    def _hello(self, *, after: int) -> str:
        return json.dumps({"type": "hello", "token": self._token, "after": after})

    def _transmit(self, text: str) -> None:
        assert self._socket is not None
        task = asyncio.create_task(_send(self._socket, text))
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)
        self._watch_socket()

    def _watch_socket(self) -> None:
        assert self._socket is not None
        self._heard()
        self._watch = asyncio.get_running_loop().call_later(
            ANSWER_WITHIN_S, self._socket.transport.abort
        )

    def _heard(self) -> None:
        if self._watch is not None:
            self._watch.cancel()

    def _hang_up(self) -> None:
        self._heard()
        self._owed.clear()
        if self._ready_s:
            self._lost_s = time.time()
            if self._lost_s - self._ready_s > STEADY_S:
                self._tries = 0
        self._socket, self._ready_s, self._sent = None, 0.0, None
        self._cancel_again()

    def _jittered(self, tries: int) -> float:
        longest = min(LONGEST_WAIT_S, 0.5 * 2.0 ** min(tries, 10))
        return longest * self._chance.uniform(0.5, 1)

    # Messages

    def _pump(self) -> None:
        """One at a time, so that Kafka gets them in the order in which they were typed."""
        if self._ready_s and self.pending and not self._sent and not self._again:
            self._sent = self.pending[0]
            frame = {"type": "message", "id": self._sent.client_id}
            self._transmit(json.dumps(frame | {"text": self._sent.text}))

    def _later(self, wait_s: float) -> None:
        self._sent = None
        loop = asyncio.get_running_loop()
        self._again = loop.call_later(wait_s, self._try_again)

    def _try_again(self) -> None:
        self._cancel_again()
        self._pump()

    def _cancel_again(self) -> None:
        if self._again is not None:
            self._again.cancel()
        self._again = None

    # What the server says

    def _take(self, frame: Frame) -> None:
        match frame["type"]:
            case "ready":
                self._welcomed(frame)
            case "accepted":
                self._accepted(frame["id"], frame["trace_id"])
            case "message":
                self._shown(_line(frame))
            case "status":
                self._told(frame["trace_id"], frame["state"])
            case "error":
                self._refused(frame)

    def _welcomed(self, frame: Frame) -> None:
        self.client.conversation_id = frame["conversation"]
        self._ready_s = time.time()
        self.client.away.append(Window(self._lost_s, self._ready_s, "not connected"))
        self._pump()

    def _told(self, trace_id: str, state: str) -> None:
        self.client.statuses.append(Told(trace_id, state, time.time()))
        self._has_word(trace_id)

    def _has_word(self, trace_id: str) -> None:
        self._heard_of.add(trace_id)
        self._owed.discard(trace_id)

    def _await_word(self, trace_id: str) -> None:
        if trace_id not in self._awaited:
            self._awaited.add(trace_id)
            loop = asyncio.get_running_loop()
            loop.call_later(WORD_WITHIN_S, self._say_so, trace_id)

    def _say_so(self, trace_id: str) -> None:
        if trace_id not in self._heard_of:
            told = Told(trace_id, "nothing heard back yet", time.time())
            self.client.own_words.append(told)

    def _accepted(self, client_id: str, trace_id: str) -> None:
        self._arrived(client_id, trace_id)
        if trace_id not in self._heard_of:
            self._owed.add(trace_id)
        self._await_word(trace_id)
        if self._sent is not None and self._sent.client_id == client_id:
            self._sent = None
            self._refusals = 0
        self._pump()

    def _shown(self, line: Line) -> None:
        self.client.live.append(line)
        if line.role != "user":
            self._has_word(line.trace_id)
        else:  # one's own message that came back has arrived
            self._arrived(line.reply_to, line.trace_id)
            self._await_word(line.trace_id)

    def _arrived(self, client_id: str, trace_id: str) -> None:
        for said in self.pending:
            if said.client_id == client_id:
                said.trace_id, said.accepted_s = trace_id, time.time()
        self.pending = [said for said in self.pending if not said.accepted_s]

    def _refused(self, frame: Frame) -> None:
        if frame["code"] in {"unconfirmed", "rate_limited"} and "id" in frame:
            self._refusals += 1
            if frame["code"] == "unconfirmed":
                self.client.unconfirmed.append(frame["id"])
            self._later(frame.get("retry_after_s") or self._jittered(self._refusals))
        elif frame["code"] != "unavailable":  # after which the server hangs up
            self.client.refusals.append(f"{frame}")


async def _send(socket: ClientConnection, text: str) -> None:
    with suppress(WebSocketException, OSError):  # whoever receives learns of it too
        await socket.send(text)


def _line(frame: Frame) -> Line:
    return Line(
        seq=frame["seq"],
        role=frame["role"],
        text=frame["text"],
        trace_id=frame["trace_id"],
        reply_to=frame["in_reply_to"] or frame.get("id", ""),
        reviewed=frame["reviewed"],
        is_correction=frame.get("correction", False),
        at_s=time.time(),
    )
