"""The web server: daphne with its own arguments, made to end within 10 s of SIGTERM.

Daphne waits for the threads of requests under way, and those may wait for a service that is frozen.
"""

import asyncio
import logging
import os
import sys
import threading
import time
from signal import SIG_IGN, SIGINT, SIGTERM, signal
from typing import Any

# First of all that knows Twisted: it chooses the reactor. Its loop is asyncio's own: on uvloop some
# sockets were closed only when their clients gave up waiting, after processes had been killed.
from daphne import server as daphne
from daphne.cli import CommandLineInterface
from twisted.internet.defer import Deferred

from controlplane import bounds
from controlplane.checks import refuse_insecure

DRAIN_S = 5.0  # for what is under way
END_S = 8.0  # then the process ends, though its loop or Twisted be stuck
GOING_AWAY = 1001  # a code after which clients come again


class Server(daphne.Server):  # type: ignore[misc]
    """Takes nothing new once asked to end, and lets what is under way finish for a while."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options, signal_handlers=False)
        self._ports: list[Any] = []

    def run(self) -> None:
        for number in (SIGINT, SIGTERM):
            signal(number, self._end)
        daphne.HTTPFactory = bounds.BoundedFactory  # what it makes its requests with
        super().run()

    def _end(self, *_: object) -> None:
        for number in (SIGINT, SIGTERM):
            signal(number, SIG_IGN)
        late = threading.Timer(END_S, os._exit, [0])
        late.daemon = True
        late.start()
        daphne.reactor.callFromThread(self.stop)

    def listen_success(self, port: Any) -> None:
        self._ports.append(port)
        super().listen_success(port)

    def kill_all_applications(self) -> "Deferred[None]":
        """Daphne's own waits for all of them, however long that takes."""
        return Deferred.fromFuture(asyncio.ensure_future(self._drain()))

    async def _drain(self) -> None:
        for port in self._ports:
            port.stopListening()
        for protocol in list(self.connections):
            if isinstance(protocol, daphne.WebSocketFactory.protocol):
                _send_away(protocol)
        deadline_s = time.monotonic() + DRAIN_S
        while self._is_busy() and time.monotonic() < deadline_s:
            await asyncio.sleep(0.02)

    def _is_busy(self) -> bool:
        applications = [
            details.get("application_instance") for details in self.connections.values()
        ]
        is_answering = any(each and not each.done() for each in applications)
        return is_answering or bool(daphne.reactor.getWriters())


def _send_away(socket: Any) -> None:
    """Not sendClose(), which leaves this code to the protocol itself."""
    if socket.state == socket.STATE_OPEN:
        socket.sendCloseFrame(code=GOING_AWAY)


class Web(CommandLineInterface):  # type: ignore[misc]
    server_class = Server

    def __init__(self) -> None:
        super().__init__()
        self.parser.set_defaults(
            websocket_max_message_size=bounds.SOCKET_MESSAGE_MAX_BYTES,
            websocket_max_frame_size=bounds.SOCKET_MESSAGE_MAX_BYTES,
            server_name="",  # nobody needs to know
        )


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "controlplane.settings")
    refuse_insecure()
    Web().run(sys.argv[1:])
    # Python would wait for the threads of requests that were not waited for.
    logging.shutdown()
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
