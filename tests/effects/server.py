"""A mail server of the tests: it keeps what it took, and can stall, break and refuse where it is told to."""

import asyncio
import ssl
import threading
from base64 import b64decode
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes
from email.message import Message
from email.policy import default

from controlplane.environment import MailServer
from tests.loop_thread import LoopThread
from tests.waiting import wait_for


class SmtpServer:
    """faults: by the name of the mailbox, where it stalls breaks or what it answers.

    stall-rcpt, stall-data, stall-end wait until let_go(); drop-rcpt, drop-data, drop-end hang up:
    end is after the whole mail was received. 451-rcpt and the like are answers.
    """

    def __init__(self) -> None:
        self.taken: list[Message] = []
        self.begun: list[str] = []  # the recipient of each DATA, in order
        self.stalling: list[str] = []
        self.logins: list[str] = []
        self._faults: dict[str, str] = {}
        self._go = asyncio.Event()
        self._server: asyncio.Server | None = None
        self._has_begun = threading.Condition()

    async def start(
        self, *, security: str = "none", context: ssl.SSLContext | None = None
    ) -> MailServer:
        """Encrypted, it wants a name and a password."""
        self._context = context
        self._server = await asyncio.start_server(
            self._serve, "127.0.0.1", 0, ssl=context if security == "tls" else None
        )
        port = self._server.sockets[0].getsockname()[1]
        user, password = ("app", "it's secret") if context else ("", "")
        sender = "Interlock <mail@interlock.example>"
        return MailServer("127.0.0.1", port, user, password, security, sender)

    async def stop(self) -> None:
        assert self._server is not None
        self._go.set()
        self._server.close()

    def fail(self, recipient: str, fault: str) -> None:
        self._faults[recipient] = fault

    async def let_go(self) -> None:
        """Let all go on that stall."""
        self._faults = {
            name: fault
            for name, fault in self._faults.items()
            if not fault.startswith("stall")
        }
        self._go.set()

    @property
    def recipients(self) -> Counter[str]:
        return Counter(str(message["To"]) for message in self.taken)

    def has_begun(self, count: int, *, within_s: float) -> bool:
        """Wait until so many mails were begun; return whether they were."""
        with self._has_begun:
            return self._has_begun.wait_for(lambda: len(self.begun) >= count, within_s)

    async def _serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        try:
            await self._talk(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, _HungUpError):
            pass
        finally:
            writer.close()

    async def _talk(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        writer.write(b"220 mail.example\r\n")
        to = ""
        while line := (await reader.readline()).decode().strip():
            verb = line[:4].upper()
            answer = b"250 fine\r\n"
            if verb == "EHLO" and self._context:
                answer = b"250-mail.example\r\n250-STARTTLS\r\n250 AUTH PLAIN\r\n"
            elif verb == "STAR":
                assert self._context is not None
                writer.write(b"220 go on\r\n")
                await writer.start_tls(self._context)
                continue
            elif verb == "AUTH":
                self.logins.append(b64decode(line.split()[-1]).decode())
                answer = b"235 come in\r\n"
            elif verb == "RCPT":
                to = line.partition("<")[2].rstrip(">")
                answer = await self._at("rcpt", to) or answer
            elif verb == "DATA":
                with self._has_begun:
                    self.begun.append(to)
                    self._has_begun.notify_all()
                answer = await self._at("data", to) or await self._take(
                    reader, writer, to
                )
            elif verb == "QUIT":
                writer.write(b"221 bye\r\n")
                return
            writer.write(answer)
            await writer.drain()

    async def _take(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, to: str
    ) -> bytes:
        writer.write(b"354 go on\r\n")
        whole = await reader.readuntil(b"\r\n.\r\n")
        refused = await self._at("end", to)
        if refused:
            return refused
        self.taken.append(message_from_bytes(whole[:-3], policy=default))
        return b"250 taken\r\n"

    async def _at(self, step: str, to: str) -> bytes | None:
        """Do what is to go wrong at this step, and return a refusal if it is one."""
        kind, _, place = self._faults.get(to, "").partition("-")
        if place != step:
            return None
        if kind == "drop":
            raise _HungUpError
        if kind == "stall":
            self.stalling.append(to)
            await self._go.wait()
            return None
        return f"{kind} as the test wants it\r\n".encode()


class _HungUpError(Exception):
    """The server breaks the connection."""


@contextmanager
def smtp_server(loop_thread: LoopThread) -> Iterator[tuple[SmtpServer, MailServer]]:
    server = SmtpServer()
    address = loop_thread.run(server.start())
    try:
        yield server, address
    finally:
        loop_thread.run(server.stop())


def wait_until_stalling(server: SmtpServer, *recipients: str) -> None:
    wait_for(lambda: set(recipients) <= set(server.stalling), what="the server stalls")
