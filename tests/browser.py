"""Looks at pages in Chromium, as a person does: narrow and wide, light and dark.

Playwright runs in a thread of its own: its event loop and Django's ORM do not share one.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Literal, TypeVar

from axe_playwright_python.sync_playwright import (
    Axe,
)
from django.conf import settings
from django.db import connections
from django.test import Client
from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright

CHROMIUM = shutil.which("chromium")  # else the one that Playwright brings
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    # Nor a process for each page, with one more in reserve: starting them costs more than tests do.
    "--renderer-process-limit=1",
]
NARROW, BETWEEN, WIDE = WIDTHS = (360, 768, 1440)
AXE = "rules => axe.run({resultTypes: ['violations'], ...rules}).then(found => found.violations)"
COLOURS = ["color-contrast", "link-in-text-block"]  # what takes axe most of its time
ONLY_COLOURS: dict[str, object] = {"runOnly": COLOURS}
NO_COLOURS: dict[str, object] = {
    "rules": {name: {"enabled": False} for name in COLOURS}
}
Scheme = Literal["light", "dark"]
# What axe is asked in each look. Colours of a page are looked at once in each scheme: in the light
# as a telephone shows it, in the dark as a desk does. `make soak` looks at them everywhere.
LOOKS: dict[tuple[int, Scheme], dict[str, object] | None] = {
    (NARROW, "light"): {},
    (BETWEEN, "light"): None,
    (WIDE, "light"): NO_COLOURS,
    (WIDE, "dark"): ONLY_COLOURS,
}
if os.environ.get("LOOKS") == "all":
    LOOKS = {(width, scheme): {} for width in WIDTHS for scheme in ("light", "dark")}

_VIOLATION = "refused by the content security policy: "
_TELL_VIOLATIONS = f"""addEventListener("securitypolicyviolation", (event) =>
  console.log("{_VIOLATION}" + event.effectiveDirective + " " + event.blockedURI))"""

T = TypeVar("T")


class Chromium:
    """One for all tests of a process: to start it takes longer than most of them."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "chromium")
        self._open = ExitStack()
        self._browser: Browser | None = None

    def do(self, job: Callable[[Browser], T]) -> T:
        return self._thread.submit(self._do, job).result()

    def _do(self, job: Callable[[Browser], T]) -> T:
        if self._browser is None:
            playwright = self._open.enter_context(sync_playwright())
            self._browser = self._open.enter_context(
                playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
            )
        try:
            return job(self._browser)
        finally:
            for context in self._browser.contexts:
                context.close()

    def end(self) -> None:
        self._thread.submit(self._open.close).result()
        self._thread.shutdown()


chromium = Chromium()
in_chromium = chromium.do


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
    """Return what axe finds and where the page is wider than its window, in all looks."""

    def look(browser: Browser) -> list[str]:
        page = open_page(browser, server, client, reduced_motion="reduce")
        broken = broken_of(page)
        page.goto(path)
        if before is not None:
            before(page)
        return faults_of(page) + broken

    return in_chromium(look)


def come_back(page: Page) -> None:
    """As from another tab: live parts of the page ask at once, not when it is their time."""
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")


def note_violations(page: Page, noted: list[str]) -> None:
    """Let the list have what the content security policy refuses on the page from now on."""

    def note(said: ConsoleMessage) -> None:
        if said.text.startswith(_VIOLATION):
            noted.append(f"{page.url}: {said.text}")

    page.add_init_script(_TELL_VIOLATIONS)
    page.on("console", note)


def broken_of(page: Page) -> list[str]:
    """Return a list that fills with what breaks on the page from now on, and what it is refused."""
    broken: list[str] = []
    page.on("pageerror", lambda error: broken.append(f"{page.url}: {error}"))
    note_violations(page, broken)
    return broken


def faults_of(page: Page) -> list[str]:
    """Return what axe finds on an open page and where it is too wide, in all looks."""
    page.evaluate(Axe().axe_script)
    return [fault for look in LOOKS for fault in _faults(page, *look)]


def _faults(page: Page, width: int, scheme: Scheme) -> Iterator[str]:
    look = f"{page.url} at {width} px, {scheme}"
    page.set_viewport_size({"width": width, "height": 900})
    page.emulate_media(color_scheme=scheme)
    if page.evaluate("document.documentElement.scrollWidth") > width:
        yield f"{look}: wider than its window"
    rules = LOOKS[width, scheme]
    violations = [] if rules is None else page.evaluate(AXE, rules)
    for violation in violations:
        for node in violation["nodes"]:
            yield f"{look}: {violation['id']}: {node['html']}"
