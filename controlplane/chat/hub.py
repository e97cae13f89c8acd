"""Keeps all sockets of a web process up to date with one query at a time."""

import asyncio
from collections.abc import Iterable
from typing import Protocol

import structlog

from agents.agent import UnavailableError
from agents.control import Control
from agents.postgres import Database
from controlplane.chat import transcript
from controlplane.chat.answers import Answers, Prospects
from controlplane.chat.received import Collector
from controlplane.chat.transcript import Line, OpenTurn

log = structlog.get_logger()

TICK_S = 1.0
END_S = 1.0  # what was noted last is kept within it, or not at all


class Socket(Protocol):
    """A connected widget. It shows what is after its own cursor and nothing twice."""

    conversation_id: str
    tier: str
    cursor: int
    has_open_turns: bool
    answers: Answers  # what it was told last

    async def show(
        self,
        lines: Iterable[Line],
        turns: Iterable[OpenTurn],
        *,
        is_paused: bool,
        answers: Answers,
    ) -> None: ...

    async def close(self) -> None: ...


class Hub:
    """Sockets ask for a refresh when woken; once a second the late ones get one anyway."""

    def __init__(self, database: Database, control: Control) -> None:
        self._database = database
        self._control = control
        self.received = Collector()
        self._sockets: set[Socket] = set()
        self._asked: set[Socket] = set()
        self._wake = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        self._tasks = [
            asyncio.create_task(self._tick(), name="hub-tick"),
            asyncio.create_task(self._run(), name="hub"),
        ]

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        try:
            await asyncio.wait_for(self.received.keep(self._database), END_S)
        except (UnavailableError, TimeoutError) as error:
            log.warning("received_not_kept", reason=repr(error))

    def join(self, socket: Socket) -> None:
        self._sockets.add(socket)
        self.ask(socket)

    def leave(self, socket: Socket) -> None:
        self._sockets.discard(socket)
        self._asked.discard(socket)

    def ask(self, socket: Socket) -> None:
        """Have the socket refreshed by the next query."""
        self._asked.add(socket)
        self._wake.set()

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            try:
                await self._ask_the_late()
                await self.received.keep(self._database)
            except UnavailableError as error:
                log.warning("sockets_wait", reason=str(error))
            except Exception:  # the next second may be better
                log.exception("hub_tick_broke")

    async def _ask_the_late(self) -> None:
        """Refresh what has open turns or is to hear of a stop, and what a lost push has left behind."""
        prospects = Prospects(self._control)
        quiet = {
            socket
            for socket in self._sockets
            if not socket.has_open_turns and socket.answers == _of(socket, prospects)
        }
        for socket in self._sockets - quiet:
            self.ask(socket)
        late = (
            await transcript.behind(self._database, _cursors(quiet)) if quiet else set()
        )
        for socket in quiet:
            if socket.conversation_id in late:
                self.ask(socket)

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            asked, self._asked = self._asked & self._sockets, set()
            if asked:
                await self._refresh_or_retry(asked)

    async def _refresh_or_retry(self, sockets: set[Socket]) -> None:
        try:
            await self._refresh(sockets)
        except UnavailableError as error:
            log.warning("sockets_wait", reason=str(error))
        except Exception:  # a hub that has ended would leave every socket mute
            log.exception("hub_refresh_broke")
        else:
            return
        await asyncio.sleep(TICK_S)
        self._asked |= sockets
        self._wake.set()

    async def _refresh(self, sockets: set[Socket]) -> None:
        lines, turns = await transcript.read(self._database, _cursors(sockets))
        prospects = Prospects(self._control)
        for socket in sockets:
            try:
                await _show(socket, lines, turns, prospects)
            except Exception:  # one broken socket must not keep the others waiting
                log.exception("socket_not_shown", conversation=socket.conversation_id)
                self.leave(socket)
                # It may be too broken to be closed.
                await asyncio.gather(socket.close(), return_exceptions=True)

    def answers(self, *, tier: str, conversation: str) -> Answers:
        """Return what is true there now, for a socket that joins."""
        prospects = Prospects(self._control)
        return prospects.answers(tier=tier, conversation=conversation)


async def _show(
    socket: Socket, lines: list[Line], turns: list[OpenTurn], prospects: Prospects
) -> None:
    name = socket.conversation_id
    await socket.show(
        [line for line in lines if line.conversation_id == name],
        [turn for turn in turns if turn.conversation_id == name],
        is_paused=prospects.is_paused(socket.tier),
        answers=_of(socket, prospects),
    )


def _of(socket: Socket, prospects: Prospects) -> Answers:
    return prospects.answers(tier=socket.tier, conversation=socket.conversation_id)


def _cursors(sockets: Iterable[Socket]) -> dict[str, int]:
    """Return the lowest cursor of each conversation."""
    cursors: dict[str, int] = {}
    for socket in sockets:
        name = socket.conversation_id
        cursors[name] = min(socket.cursor, cursors.get(name, socket.cursor))
    return cursors
