"""A web process that is asked to end, with something under way, and what that needs frozen."""

import json
import signal
import socket
import time
from collections.abc import Iterator
from uuid import uuid4

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from controlplane.chat import tokens
from controlplane.embedded.processes import Child
from controlplane.embedded.services import Services
from tests.conftest import RUN_DIR
from tests.e2e.product import Process, Product, running
from tests.e2e.widget import Widget
from tests.ports import own_port
from tests.waiting import wait_for


@pytest.fixture(scope="module")
def product(services: Services) -> Iterator[Product]:
    with running(Product(services.environment, RUN_DIR / "ends")) as started:
        started.prepare()
        yield started


@pytest.fixture
def web(product: Product) -> Iterator[Process]:
    process = product.start_web()
    yield process
    process.end()


@pytest.fixture
def postgres(services: Services) -> Iterator[Child]:
    assert services.postgres is not None
    yield services.postgres
    services.postgres.thaw()


@pytest.fixture
def valkey(services: Services) -> Iterator[Child]:
    assert services.valkey is not None
    yield services.valkey
    services.valkey.thaw()


def send(port: int, request: str) -> socket.socket:
    asking = socket.create_connection(("127.0.0.1", port), timeout=20)
    asking.sendall(request.replace("\n", "\r\n").encode())
    return asking


def ask(product: Product, request: str) -> socket.socket:
    """Send a request, and return when the site has taken it."""
    asking = send(product.port, request)
    assert product.get("/healthz")[0] == 200  # it reads its sockets in their order
    return asking


HELD = """
from moderation.models import Approval
from tests.factories import make_approval
held = Approval.objects.with_conversation().get(pk=make_approval().pk)
print(held.pk, held.fingerprint)
"""


def decision(product: Product) -> str:
    """A request that tells open pages of it through Valkey."""
    scopes = ("--scope", "approvals:decide")
    token = product.manage("create_token", "--user", "mira", *scopes).strip()
    approval, fingerprint = product.python(HELD).split()
    body = json.dumps({"verdict": "approve", "fingerprint": fingerprint})
    return (
        f"POST /api/approvals/{approval}/decision HTTP/1.1\nHost: 127.0.0.1\n"
        f"Authorization: Bearer {token}\nContent-Type: application/json\n"
        f"Content-Length: {len(body)}\n\n{body}"
    )


def ends_within(process: Process, seconds: float) -> bool:
    began_s = time.monotonic()
    assert process.wait(30) == 0
    return time.monotonic() - began_s < seconds


@pytest.mark.long
@pytest.mark.parametrize("away", ["postgres", "valkey"])
def test_it_ends_though_a_request_waits_for_what_is_frozen(
    product: Product, web: Process, request: pytest.FixtureRequest, away: str
) -> None:
    frozen: Child = request.getfixturevalue(away)
    asked = decision(product)
    frozen.freeze()
    with ask(product, asked):
        web.signal(signal.SIGTERM)

        assert ends_within(web, 10)


@pytest.mark.long
def test_it_ends_though_a_socket_waits_for_a_frozen_postgresql(
    product: Product, web: Process, postgres: Child
) -> None:
    widget = Widget(product.socket_url, tokens.issue(uuid4().hex, tier="free"))
    postgres.freeze()
    widget.say("Do you have the E-Class?")

    web.signal(signal.SIGTERM)

    assert ends_within(web, 10)
    widget.close()


def test_a_request_under_way_gets_its_answer(
    product: Product, web: Process, valkey: Child
) -> None:
    request = decision(product)
    valkey.freeze()
    with ask(product, request) as asking:
        web.signal(signal.SIGTERM)
        wait_for(lambda: not listens(product), what="it takes nothing new")
        valkey.thaw()

        assert asking.recv(100).startswith(b"HTTP/1.1 200 ")
    assert ends_within(web, 5)


def listens(product: Product) -> bool:
    try:
        socket.create_connection(("127.0.0.1", product.port), timeout=5).close()
    except ConnectionRefusedError:
        return False
    return True


def test_sockets_are_told_to_come_again(product: Product, web: Process) -> None:
    with connect(product.socket_url) as open_socket:
        web.signal(signal.SIGTERM)

        with pytest.raises(ConnectionClosed) as closed:
            open_socket.recv(timeout=10)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1001
    assert ends_within(web, 3)


@pytest.mark.long  # it waits for a time limit
def test_it_ends_though_its_loop_is_blocked(product: Product) -> None:
    port = own_port(8300)
    options = ("-b", "127.0.0.1", "-p", str(port), "tests.e2e.blocking:application")
    blocked = product.start("web", "-m", "controlplane.web", *options)
    wait_for(lambda: "Listening on" in blocked.log.read_text(), timeout_s=30)
    with send(port, "GET / HTTP/1.1\nHost: 127.0.0.1\n\n"):
        wait_for(lambda: "blocked" in blocked.log.read_text())

        blocked.signal(signal.SIGTERM)

        assert ends_within(blocked, 10)


def test_nothing_under_way_is_nothing_to_wait_for(
    product: Product, web: Process
) -> None:
    web.signal(signal.SIGTERM)

    assert ends_within(web, 2)
