"""Looks at pages in Chromium, as a person does: narrow and wide, light and dark.

Playwright runs in a thread of its own: its event loop and Django's ORM do not share one.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Literal, TypeVar

from axe_playwright_python.sync_playwright import (
    Axe,
)
from django.conf import settings
from django.db import connections
from django.test import Client
from playwright.sync_api import Browser, Page, sync_playwright

CHROMIUM = "/usr/bin/chromium"
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
]
WIDTHS = (360, 1440)
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")

T = TypeVar("T")


def in_chromium(job: Callable[[Browser], T]) -> T:
    def run() -> T:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
            return job(browser)

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(run).result()


def in_database(write: Callable[[], object]) -> None:
    """Write from a job: its thread has a running loop, in which the ORM may not be used."""

    def run() -> None:
        write()
        connections.close_all()

    with ThreadPoolExecutor(1) as pool:
        pool.submit(run).result()


def open_page(browser: Browser, server: str, client: Client, **context: object) -> Page:
    """Return a page that is signed in as the test client is."""
    made = browser.new_context(base_url=server, **context)  # type: ignore[arg-type]
    session = client.cookies.get(settings.SESSION_COOKIE_NAME)
    if session is not None:
        made.add_cookies([{"name": session.key, "value": session.value, "url": server}])
    return made.new_page()


def faults(
    server: str,
    client: Client,
    path: str,
    *,
    before: Callable[[Page], object] | None = None,
) -> list[str]:
    """Return what axe finds and where the page is wider than its window, in four looks."""

    def look(browser: Browser) -> list[str]:
        return [
            fault
            for width in WIDTHS
            for scheme in SCHEMES
            for fault in _faults(browser, server, client, path, width, scheme, before)
        ]

    return in_chromium(look)


def _faults(  # noqa: PLR0913, PLR0917  # one look
    browser: Browser,
    server: str,
    client: Client,
    path: str,
    width: int,
    scheme: Literal["light", "dark"],
    before: Callable[[Page], object] | None,
) -> Iterator[str]:
    look = f"{path} at {width} px, {scheme}"
    page = open_page(
        browser,
        server,
        client,
        viewport={"width": width, "height": 900},
        color_scheme=scheme,
    )
    page.on("pageerror", lambda error: broken.append(str(error)))
    broken: list[str] = []
    page.goto(path)
    if before is not None:
        before(page)
    yield from (f"{look}: {error}" for error in broken)
    if page.evaluate("document.documentElement.scrollWidth") > width:
        yield f"{look}: wider than its window"
    for violation in Axe().run(page).response["violations"]:
        for node in violation["nodes"]:
            yield f"{look}: {violation['id']}: {node['html']}"
    page.context.close()
