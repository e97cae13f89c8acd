"""Chromium, and the stand-in for the server that the widget talks to."""

import base64
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from tests.browser import CHROMIUM, FLAGS
from tests.widget.stand_in import Socket, StandIn


def make_token(user: str = "u_20417", *, number: int = 1) -> str:
    """Looks like the JWT of a host page; nobody here checks its signature."""
    claims = json.dumps({"sub": user, "tier": "pro", "jti": number}).encode()
    return f"e30.{base64.urlsafe_b64encode(claims).decode().rstrip('=')}.c2ln"


def host_page(attributes: str = "", *, lang: str = "en") -> str:
    return f"""<!doctype html><html lang="{lang}"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>A shop</title>
<script src="/static/widget/widget.js" data-title="Autohaus Stern" {attributes} defer></script>
</head><body><main><h1>A shop</h1><p><a id="elsewhere" href="#here">a link</a></p></main></body></html>"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """For one file at a time: while Playwright's synchronous API is up, no asyncio or Django test may run in this thread."""
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def stand_in() -> Iterator[StandIn]:
    server = StandIn()
    server.start()
    yield server
    server.stop()


@pytest.fixture
def server(stand_in: StandIn) -> StandIn:
    stand_in.reset()
    stand_in.pages = {
        "/": host_page(f'data-token="{make_token()}"'),
        "/later": host_page(f'data-token="{make_token(number=2)}"'),
        "/other": host_page(f'data-token="{make_token("u_7")}"'),
        "/fetched": host_page('data-token-url="/token/"'),
    }
    return stand_in


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    expect.set_options(timeout=8000)
    made = browser.new_context()
    yield made
    made.close()


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    """A page on which a script error or a refusal by the content security policy fails the test."""
    wrong: list[str] = []
    opened = context.new_page()
    opened.on("pageerror", lambda error: wrong.append(str(error)))
    opened.on(
        "console",
        lambda line: (
            wrong.append(line.text) if "Content Security Policy" in line.text else None
        ),
    )
    yield opened
    assert wrong == []


Connect = Callable[..., Socket]


@pytest.fixture
def connect(server: StandIn) -> Connect:
    """Opens the chat of a page and greets it, as the server would."""

    def go(page: Page, path: str = "/", **ready: Any) -> Socket:
        page.goto(f"http://{server.address}{path}")
        page.get_by_role("button", name="Chat with Autohaus Stern").click()
        return greet(server, **ready)

    return go


def greet(server: StandIn, **ready: Any) -> Socket:
    socket = server.next_socket()
    socket.hello = socket.expect("hello")
    socket.send("ready", **({"conversation": "c_1", "tier": "pro", "seq": 0} | ready))
    return socket
