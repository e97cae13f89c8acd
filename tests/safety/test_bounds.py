"""What the real server takes of a request, by raw sockets: so much, and within so long."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from django.conf import settings
from django.test import Client
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from controlplane.bounds import SOCKET_MESSAGE_MAX_BYTES
from tests.ports import own_port
from tests.waiting import wait_for

SLOWEST_S = 1
SERVE = (
    f"from controlplane import bounds; bounds.WITHIN_S = {SLOWEST_S};"
    "from controlplane.web import main; main()"
)
NOWHERE = {
    "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",
    "REDIS_URL": "redis://127.0.0.1:1/0",
    "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
}
SIZE = 1_000_000


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A site without any service: none is asked before a request is whole."""
    port = own_port(8800)
    with (tmp_path_factory.mktemp("site") / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", SERVE, "-p", str(port), "controlplane.asgi:application"],
            env=os.environ | NOWHERE | {"DJANGO_SETTINGS_MODULE": "controlplane.settings"},
            cwd=settings.BASE_DIR,
            stdout=log,
            stderr=log,
        )  # fmt: skip
        wait_for(lambda: _answers(port), timeout_s=60, what="the site")
        yield port
        process.terminate()
        assert process.wait(20) == 0


def _answers(port: int) -> bool:
    try:
        return "200 OK" in ask(port, b"GET /healthz HTTP/1.1\r\nHost: localhost")
    except OSError:
        return False


@contextmanager
def talking(port: int) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", port), timeout=20) as talk:
        yield talk


def ask(port: int, head: bytes, body: bytes = b"") -> str:
    with talking(port) as talk:
        talk.sendall(head + b"\r\nConnection: close\r\n\r\n" + body)
        return read(talk)


def read(talk: socket.socket) -> str:
    """Return all that comes until the server hangs up."""
    parts = []
    while part := talk.recv(65_536):
        parts.append(part)
    return b"".join(parts).decode()


def test_a_body_that_is_said_to_be_too_large_is_refused_before_it_comes(
    site: int,
) -> None:
    head = b"POST /accounts/login/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d"

    answer = ask(site, head % (SIZE + 1))

    assert answer.startswith("HTTP/1.1 413 ")
    assert "default-src 'none'" in answer
    assert "This was not taken" in answer
    assert "Server:" not in answer


def test_a_body_without_a_length_is_counted_as_it_comes(site: int) -> None:
    head = (
        b"POST /api/nothing/ HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked"
    )
    chunk = b"%x\r\n%s\r\n" % (SIZE // 2, b"x" * (SIZE // 2))

    with talking(site) as talk:
        talk.sendall(head + b"\r\n\r\n" + chunk + chunk + b"1\r\nx\r\n")
        answer = read(talk)

    assert answer.startswith("HTTP/1.1 413 ")
    problem = json.loads(answer.partition("\r\n\r\n")[2])
    assert problem["status"] == 413
    assert "1,000,000 bytes" in problem["detail"]


def test_a_body_of_just_the_size_is_read(site: int) -> None:
    head = b"POST /api/nothing/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d"

    assert ask(site, head % SIZE, b"x" * SIZE).startswith("HTTP/1.1 404 ")


@pytest.mark.parametrize(
    "head",
    [
        b"GET /%s HTTP/1.1\r\nHost: localhost" % (b"a" * 20_000),
        b"GET / HTTP/1.1\r\nHost: localhost\r\nCookie: %s" % (b"a" * 20_000),
        b"GET / HTTP/1.1\r\nHost: localhost" + b"\r\nX-A: 1" * 600,
    ],
)
def test_an_address_and_headers_have_a_size(site: int, head: bytes) -> None:
    """A line that is too long is not even answered."""
    assert ask(site, head).partition("\r\n")[0] in {"", "HTTP/1.1 400 Bad Request"}


def test_a_request_that_comes_drop_by_drop_is_hung_up_on(site: int) -> None:
    head = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n"
    with talking(site) as talk:
        talk.sendall(head)
        talk.sendall(b"a")

        assert read(talk).startswith("HTTP/1.1 408 ")


def test_a_socket_s_message_has_a_size(site: int) -> None:
    with connect(f"ws://127.0.0.1:{site}/ws/chat/") as widget:
        widget.send("x" * (SOCKET_MESSAGE_MAX_BYTES + 1))
        with pytest.raises(ConnectionClosed):  # without an answer
            widget.recv(timeout=20)

    with connect(f"ws://127.0.0.1:{site}/ws/chat/") as widget:
        widget.send("x" * (SOCKET_MESSAGE_MAX_BYTES - 1))
        assert "too_long" in widget.recv(timeout=20)


def test_a_form_has_so_many_fields(client: Client) -> None:
    most = settings.DATA_UPLOAD_MAX_NUMBER_FIELDS
    assert most == 10_000  # a rule has a field for each of its cases
    fields = {f"field-{number}": "x" for number in range(most + 1)}

    assert client.post("/accounts/login/", fields).status_code == 400


def test_nobody_uploads_a_file(client: Client) -> None:
    with Path(__file__).open("rb") as file:
        answer = client.post("/accounts/login/", {"file": file})

    assert answer.status_code == 400
