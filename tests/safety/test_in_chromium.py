"""The same texts in a browser: nothing runs, nothing is fetched, nothing is too wide or stuck."""

import time

import pytest
from django.test import Client
from django.urls import reverse
from playwright.sync_api import Browser, Dialog, Page, Request
from pytest_django.live_server_helper import LiveServer

from tests.browser import in_chromium, note_violations, open_page
from tests.safety import hostile
from tests.safety.world import make_viewer, make_world

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("services_down"),
]

NARROW = 360
LOADED_WITHIN_MS = 20_000  # of a page that has everything on it, on a busy machine
AWAKE_WITHIN_MS = 2_000
OPEN_ALL = "document.querySelectorAll('details').forEach(each => { each.open = true })"
FRAME = "new Promise(done => requestAnimationFrame(() => setTimeout(done)))"


def watch(page: Page, own: str) -> list[str]:
    """Return the list of what must not happen; it fills up."""
    wrong: list[str] = []

    def asked(request: Request) -> None:
        if not request.url.startswith((own, "data:,")):
            wrong.append(f"{page.url} asked for {request.url[:100]}")

    def said(dialog: Dialog) -> None:
        wrong.append(f"{page.url} said {dialog.message}")
        dialog.accept()

    page.on("dialog", said)
    page.on("request", asked)
    page.on("popup", lambda other: wrong.append(f"{page.url} opened {other.url}"))
    note_violations(page, wrong)
    return wrong


def state_of(page: Page) -> list[str]:
    """Return what is wrong with an open page."""
    wrong = [] if page.evaluate("window.ran === undefined") else ["something ran"]
    if page.evaluate("document.documentElement.scrollWidth") > NARROW:
        wrong.append("wider than its window")
    started_s = time.monotonic()
    page.evaluate(FRAME)
    waited_ms = (time.monotonic() - started_s) * 1000
    if waited_ms > AWAKE_WITHIN_MS:
        wrong.append(f"no frame for {waited_ms:.0f} ms")
    return [f"{page.url}: {each}" for each in wrong]


@pytest.mark.parametrize(
    ("count", "every"),
    [
        (hostile.COUNTS[0], 8),  # of the pages, besides the one with the widest name
        pytest.param(hostile.COUNT, 1, marks=pytest.mark.long),
    ],
)
def test_no_text_does_anything_in_a_browser(
    live_server: LiveServer, client: Client, count: int, every: int
) -> None:
    texts = hostile.strings(count)
    viewer = make_viewer(texts)
    client.force_login(viewer)
    shown = [each for each in make_world(texts, viewer) if not each.is_more]
    paths = [*(each.path for each in shown), reverse("chat:demo")]
    paths = [*paths[::every], reverse("rules:rule", args=["wide"])]

    def visit(browser: Browser) -> list[str]:
        page = open_page(
            browser,
            live_server.url,
            client,
            viewport={"width": NARROW, "height": 800},
        )
        page.set_default_timeout(LOADED_WITHIN_MS)
        wrong = watch(page, live_server.url)
        for path in paths:
            page.goto(path)
            page.evaluate(OPEN_ALL)
            wrong += state_of(page)
        return wrong

    assert in_chromium(visit) == []
