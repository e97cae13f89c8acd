"""Ports on the loopback address: the usual ones, free ones when those are taken."""

import fcntl
import json
import socket
from pathlib import Path
from typing import IO

from controlplane.embedded.processes import ServiceError

HOST = "127.0.0.1"
SPAN = 500  # how far above the usual port to look


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As servers do: a closed connection that lingers on the port is no hindrance.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) != 0


def free_port(preferred: int) -> int:
    for port in range(preferred, preferred + SPAN):
        if is_free(port):
            return port
    raise ServiceError(f"No port from {preferred} to {preferred + SPAN} is free.")


class Ports:
    """The ports of one data directory, the same at each start while they are free.

    Each is locked for this user while in use, so that two launchers starting at once do not
    choose the same one before anything listens on it.
    """

    def __init__(self, data_dir: Path, lock_dir: Path) -> None:
        self._file = data_dir / "ports.json"
        self._lock_dir = lock_dir
        self._locks: list[IO[str]] = []
        self._known: dict[str, int] = json.loads(_text(self._file))

    def choose(self, name: str, preferred: int) -> int:
        remembered = self._known.get(name, preferred)
        candidates: list[int] = [remembered, *range(preferred, preferred + SPAN)]
        for port in candidates:
            if self._lock(port):
                self._known[name] = port
                self._file.write_text(json.dumps(self._known))
                return port
        raise ServiceError(f"No port from {preferred} to {preferred + SPAN} is free.")

    def release(self) -> None:
        while self._locks:
            self._locks.pop().close()

    def _lock(self, port: int) -> bool:
        self._lock_dir.mkdir(parents=True, exist_ok=True)
        lock = (self._lock_dir / str(port)).open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.close()
            return False
        if not is_free(port):
            lock.close()
            return False
        self._locks.append(lock)
        return True


def _text(file: Path) -> str:
    return file.read_text() if file.exists() else "{}"
