"""The widget's socket: design's protocol in JSON frames, one socket per open page."""

import asyncio
import time
from collections import deque
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Literal
from urllib.parse import urlsplit

import msgspec
from channels.consumer import get_handler_name
from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer
from django.conf import settings
from django.db import InterfaceError, OperationalError

from agents.agent import UnavailableError
from controlplane import locks
from controlplane.chat import actions, ingress, live, tokens, transcript
from controlplane.chat.answers import Answers
from controlplane.chat.models import Feedback
from controlplane.chat.resources import resources
from controlplane.chat.transcript import Line, OpenTurn, Status
from controlplane.close_codes import FORBIDDEN, TRY_AGAIN, UNAUTHORIZED

FRAME_MAX_CHARS = 40_000
WAITING_MAX = 20  # messages of one socket that wait for Kafka
RATINGS_MAX = 30  # of one socket
RATINGS_S = 60.0  # in so many seconds


class Hello(msgspec.Struct, tag="hello", frozen=True):
    token: str
    after: int = 0


class Said(msgspec.Struct, tag="message", frozen=True):
    id: str
    text: str
    person: bool = False  # who is to answer


class Rated(msgspec.Struct, tag="feedback", frozen=True):
    seq: int
    rating: Literal["up", "down"]
    reason: str = ""


class Got(msgspec.Struct, tag="received", frozen=True):
    seq: int


_decoder = msgspec.json.Decoder(Hello | Said | Rated | Got)


class WidgetConsumer(AsyncWebsocketConsumer):
    """Shows the rows after its cursor; takes messages and says what became of each."""

    conversation_id = ""
    tier = ""
    cursor = 0
    has_open_turns = False
    answers: Answers = "flowing"

    async def connect(self) -> None:
        self._visitor: tokens.Visitor | None = None
        self._is_refused = False
        self._sending = asyncio.Lock()
        self._showing = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._in_flight: asyncio.Task[None] | None = None
        self._statuses: dict[str, Status] = {}
        self._accepted: set[str] = set()  # traces that are not in the transcript yet
        self._rated_at: deque[float] = deque(maxlen=RATINGS_MAX)
        await self.accept()
        if not is_allowed_origin(self.scope):
            await self._refuse_socket(
                FORBIDDEN, "forbidden_origin", "This page may not embed the chat."
            )

    async def dispatch(self, message: Any) -> None:
        """Channels' own closes old connections of the ORM first, in a thread; only ratings use it."""
        await getattr(self, get_handler_name(message))(message)

    async def disconnect(self, code: int) -> None:
        if self._visitor is None:
            return
        for task in self._tasks - {self._in_flight}:  # whoever waits will send it again
            task.cancel()
        (await resources()).hub.leave(self)
        await self.channel_layer.group_discard(self._group, self.channel_name)

    async def receive(
        self, text_data: str | None = None, bytes_data: bytes | None = None
    ) -> None:
        if self._is_refused:
            return
        if text_data is None:
            await self._error("bad_request", "Frames are text.")
            return
        if len(text_data) > FRAME_MAX_CHARS:
            await self._error("too_long", "The frame is too large.")
            return
        try:
            frame = _decoder.decode(text_data)
        except (msgspec.DecodeError, RecursionError) as error:
            await self._error("bad_request", str(error))
            return
        if isinstance(frame, Hello):
            await self._greet(frame)
        elif self._visitor is None:
            await self._error("unauthorized", "Say hello first.")
        else:
            await self._heed(frame, self._visitor)

    async def _heed(self, frame: Said | Rated | Got, visitor: tokens.Visitor) -> None:
        match frame:
            case Said():
                await self._take(frame, visitor)
            case Rated():
                await self._rate(frame)
            case Got():
                await self._note_received(frame.seq)

    async def _greet(self, hello: Hello) -> None:
        if self._visitor is not None:
            await self._error("bad_request", "You said hello before.")
            return
        try:
            visitor = tokens.read(hello.token)
            kept = await resources()
            seq = await transcript.latest_seq(kept.database, visitor.conversation_id)
        except tokens.TokenError as error:
            await self._refuse_socket(UNAUTHORIZED, "unauthorized", str(error))
            return
        except UnavailableError as error:
            await self._refuse_socket(TRY_AGAIN, "unavailable", str(error))
            return
        self._visitor = visitor
        self.conversation_id, self.tier = visitor.conversation_id, visitor.tier
        self.cursor = min(max(0, hello.after), seq)
        self.has_open_turns = True  # until the first look says otherwise
        self.answers = kept.hub.answers(
            tier=self.tier, conversation=self.conversation_id
        )
        self._group = live.conversation_group(visitor.conversation_id)
        await self.channel_layer.group_add(self._group, self.channel_name)
        await self._send(
            type="ready",
            conversation=visitor.conversation_id,
            tier=visitor.tier,
            seq=seq,
            now=datetime.now(UTC).isoformat(),
            answers=self.answers,
        )
        if self.cursor:
            kept.hub.received.note(self.conversation_id, self.cursor)
        kept.hub.join(self)

    async def _note_received(self, seq: int) -> None:
        """Nobody has what was not sent: the cursor is as far as this socket was told."""
        if not 0 < seq <= self.cursor:
            await self._error("bad_request", "No row of that number was sent.")
            return
        (await resources()).hub.received.note(self.conversation_id, seq)

    async def _refuse_socket(self, close_code: int, code: str, detail: str) -> None:
        """Say why and hang up; what the client has sent meanwhile is not read."""
        self._is_refused = True
        await self._error(code, detail)
        await self.close(close_code)

    # Messages of the user

    async def _take(self, said: Said, visitor: tokens.Visitor) -> None:
        """Answer in a task: what the socket has to show does not wait for Kafka."""
        if len(self._tasks) >= WAITING_MAX:
            await self._refuse(said.id, ingress.RateLimitedError(1.0))
            return
        task = asyncio.create_task(
            self._submit(said, visitor), name=f"submit {said.id}"
        )
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _submit(self, said: Said, visitor: tokens.Visitor) -> None:
        async with self._sending:  # in the order in which they were written
            self._in_flight = asyncio.current_task()
            try:
                accepted = await ingress.submit(
                    conversation_id=visitor.conversation_id,
                    client_id=said.id,
                    text=said.text,
                    user=visitor.user,
                    tier=visitor.tier,
                    wants_person=said.person,
                )
            except _REFUSALS as error:
                await self._refuse(said.id, error)
                return
        self.has_open_turns = True
        self._accepted.add(accepted.trace_id)
        await self._send(type="accepted", id=said.id, trace_id=accepted.trace_id)

    async def _refuse(self, client_id: str, error: Exception) -> None:
        extra = {}
        if isinstance(error, ingress.RateLimitedError):
            extra["retry_after_s"] = round(error.retry_after_s, 1)
        await self._error(_CODES[type(error)], str(error), id=client_id, **extra)

    # Ratings

    async def _rate(self, rated: Rated) -> None:
        """One after the other: the last word counts."""
        now = time.monotonic()
        if len(self._rated_at) == RATINGS_MAX and now - self._rated_at[0] < RATINGS_S:
            wait = round(RATINGS_S - (now - self._rated_at[0]), 1)
            detail = "Too many ratings."
            await self._error("rate_limited", detail, seq=rated.seq, retry_after_s=wait)
            return
        self._rated_at.append(now)
        try:
            await database_sync_to_async(actions.give_feedback)(
                self.conversation_id,
                rated.seq,
                rating=Feedback.Rating(rated.rating),
                reason=rated.reason,
            )
        except tuple(_RATING_CODES) as error:
            await self._error(_RATING_CODES[type(error)], str(error), seq=rated.seq)
            return
        except (locks.LockTimeoutError, OperationalError, InterfaceError):
            detail = "The rating was not kept. Send it again."
            await self._error("unavailable", detail, seq=rated.seq)
            return
        await self._send(type="feedback", seq=rated.seq, rating=rated.rating)

    # What the hub shows

    async def chat_wake(self, event: dict[str, Any]) -> None:
        (await resources()).hub.ask(self)

    async def show(
        self,
        lines: Iterable[Line],
        turns: Iterable[OpenTurn],
        *,
        is_paused: bool,
        answers: Answers,
    ) -> None:
        async with self._showing:
            if answers != self.answers:
                self.answers = answers
                await self._send(type="answers", state=answers)
            for line in lines:
                if line.seq > self.cursor:
                    self.cursor = line.seq
                    self._accepted.discard(line.trace_id)
                    await self._send(**line.frame())
            known = [
                turn
                for turn in turns
                if turn.is_taken_in or turn.trace_id in self._accepted
            ]
            await self._show_statuses(known, is_paused=is_paused)

    async def _show_statuses(self, turns: list[OpenTurn], *, is_paused: bool) -> None:
        statuses: dict[str, Status] = {}
        for turn in turns:
            status = turn.status(is_paused=is_paused)
            statuses[turn.trace_id] = status
            if self._statuses.get(turn.trace_id) != status:
                await self._send(**turn.frame(status))
        self._statuses = statuses
        self.has_open_turns = any(state != "failed" for state in statuses.values())

    async def _error(self, code: str, detail: str, **extra: Any) -> None:
        await self._send(type="error", code=code, detail=detail, **extra)

    async def _send(self, **frame: Any) -> None:
        await self.send(text_data=msgspec.json.encode(frame).decode())


_CODES: dict[type[Exception], str] = {
    ingress.BadMessageError: "bad_request",
    ingress.TooLongError: "too_long",
    ingress.NotOwnerError: "conversation",
    ingress.IdReusedError: "id_reused",
    ingress.RateLimitedError: "rate_limited",
    ingress.UnconfirmedError: "unconfirmed",
}
_REFUSALS = tuple(_CODES)
_RATING_CODES: dict[type[Exception], str] = {
    actions.NoSuchAnswerError: "bad_request",
    actions.ReasonTooLongError: "too_long",
    actions.TooManyChangesError: "rate_limited",
}


def is_allowed_origin(scope: Any) -> bool:
    """Our own host may always; other pages if they are listed. No browser, no origin."""
    headers = dict(scope["headers"])
    origin = headers.get(b"origin", b"").decode("latin-1")
    if not origin:
        return True
    own = headers.get(b"host", b"").decode("latin-1")
    return urlsplit(origin).netloc == own or origin in settings.WIDGET_ORIGINS
