"""The mailer: sends what is claimed, a few mails at a time, each at most once."""

import asyncio
import os
import socket
import time
from collections.abc import Callable
from concurrent.futures import Future
from threading import Thread
from typing import TypeVar

import structlog
from tenacity import AsyncRetrying, retry_if_exception_type, wait_exponential_jitter

from agents.agent import UnavailableError
from agents.clock import now_s
from agents.postgres import Database
from controlplane.effects import claims
from controlplane.effects.claims import Claim
from controlplane.effects.smtp import (
    LostError,
    MailError,
    RefusedError,
    ServerAwayError,
    Session,
    written,
)
from controlplane.effects.states import State
from controlplane.environment import MailServer

log = structlog.get_logger()

SENDERS = 4
POLL_S = 1.0
DRAIN_S = 3.0  # for what is being sent when the worker ends
MAX_PAUSE_S = 60.0  # while the server is away
# A proof waits longer than this for what has begun: who comes later sends nothing any more.
FRESH_S = 1.0
NO_SERVER = "no mail server is set: mails wait"
TOO_LATE = "It was not sent: its sender stood still just before."

Outcome = tuple[State, str]  # and why
T = TypeVar("T")


class Mailer:
    """Runs on the runtime's loop; any number may run. SMTP itself runs in threads of its own."""

    name = "mailer"
    description = (
        "Sends mail, and claims each under the lock that hard stops are proven by."
    )
    writes = ()

    def __init__(self, database: Database, server: MailServer | None) -> None:
        self.state = "idle"
        self.sent = 0
        self.errors = 0
        self._database = database
        self._server = server
        self._sender = f"{socket.gethostname()}:{os.getpid()}"
        self._sending: set[asyncio.Task[None]] = set()
        self._is_ending = False
        self._pause_s = 0.0
        self._paused_until_s = 0.0

    async def run(self) -> None:
        """Look for mails until cancelled; then let those go out that are on their way."""
        self._is_ending = False
        try:
            while True:
                try:
                    await self._round()
                except UnavailableError as error:
                    self.state = f"waiting: {error}"
                await asyncio.sleep(POLL_S)
        finally:
            await self._drain()

    async def _round(self) -> None:
        """Look once; have as many senders as there are mails, up to the bound."""
        async with self._database.connection() as connection:
            ready = await claims.look(connection, at_most=SENDERS)
        for task in {task for task in self._sending if task.done()}:
            self._sending.discard(task)
            task.result()
        if self._server is None:
            self.state = NO_SERVER
        elif time.monotonic() >= self._paused_until_s:
            self.state = f"sending through {self._server.host}"
            for _ in range(min(ready, SENDERS - len(self._sending))):
                self._sending.add(asyncio.create_task(self._send_all(self._server)))

    async def _drain(self) -> None:
        self._is_ending = True
        if self._sending:
            await asyncio.wait(self._sending, timeout=DRAIN_S)
        for task in self._sending:
            task.cancel()
        self._sending.clear()

    async def _send_all(self, server: MailServer) -> None:
        """Send one mail after the other over one connection, until there is none or it breaks."""
        try:
            session = await _in_thread(Session, server)
            self._pause_s = 0.0
            try:
                while not self._is_ending and await self._send_next(session):
                    pass
            finally:
                await _in_thread(session.close)
        except ServerAwayError as error:
            self._pause_s = min(MAX_PAUSE_S, max(POLL_S, 2 * self._pause_s))
            self._paused_until_s = time.monotonic() + self._pause_s
            self.state = f"waiting: the mail server is away: {error}"
            log.warning("mail_server_is_away", reason=str(error))
        except UnavailableError as error:
            self.state = f"waiting: {error}"

    async def _send_next(self, session: Session) -> bool:
        """Send one; return whether there may be more over this connection."""
        async with self._database.connection() as connection:
            mail = await claims.claim(connection, sender=self._sender)
        if mail is None:
            return False
        try:
            outcome = await self._send(session, mail)
        except LostError as error:  # before it had begun
            await self._finish(mail, ("waiting", f"The connection was lost: {error}"))
            return False
        await self._finish(mail, outcome)
        if outcome[0] == "unknown":
            return False
        return await self._is_reset(session)

    async def _send(self, session: Session, mail: Claim) -> Outcome:
        """Return what became of it. LostError if the connection broke before it had begun."""
        assert self._server is not None  # or nobody would have claimed it
        try:
            whole = written(mail, sender=self._server.sender)
            await _in_thread(session.address, mail.recipient)
            asked_s = now_s()
            async with self._database.connection() as connection:
                if not await claims.begin(connection, mail):
                    return "waiting", ""
            return await _in_thread(_deliver, session, whole, asked_s)
        except MailError as error:
            return "failed", str(error)
        except UnavailableError as error:
            return "waiting", str(error)
        except RefusedError as error:
            return ("failed" if error.is_for_good else "waiting"), str(error)

    async def _is_reset(self, session: Session) -> bool:
        try:
            await _in_thread(session.reset)
        except LostError:
            return False
        return True

    async def _finish(self, mail: Claim, outcome: Outcome) -> None:
        """Write it down, however long PostgreSQL is away: nobody else knows it."""
        async for attempt in AsyncRetrying(
            retry=retry_if_exception_type(UnavailableError),
            wait=wait_exponential_jitter(multiplier=0.2, max=5.0),
        ):
            with attempt:
                async with self._database.connection() as connection:
                    state = await claims.finish(connection, mail, *outcome)
        self.sent += outcome[0] == "sent"
        self.errors += outcome[0] in {"failed", "unknown"}
        if state is None and outcome[0] == "sent":
            log.warning("mail_was_sent_late", record=mail.record_id)

    def status(self) -> dict[str, object]:
        return {
            "agent": self.name,
            "state": "held" if self.state.startswith("waiting") else "running",
            "why": self.state,
            "in_flight": len(self._sending),
            "done": self.sent,
            "errors": self.errors,
            "partitions": 0,
        }


def _deliver(session: Session, whole: bytes, asked_s: float) -> Outcome:
    """Send a mail that has begun. A process that was frozen meanwhile finds that it is too late."""
    if now_s() - asked_s > FRESH_S:
        return "waiting", TOO_LATE
    try:
        session.send(whole)
    except LostError as error:
        return "unknown", f"The connection broke while it was being sent: {error}"
    return "sent", ""


async def _in_thread(call: Callable[..., T], *given: object) -> T:
    """Await a call that blocks. No process waits for its end: the server may take very long."""
    future: Future[T] = Future()
    Thread(target=_run, args=(future, call, given), name="mailer", daemon=True).start()
    return await asyncio.wrap_future(future)


def _run(
    future: "Future[T]", call: Callable[..., T], given: tuple[object, ...]
) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        future.set_result(call(*given))
    except Exception as error:  # it is raised where it is awaited
        future.set_exception(error)
