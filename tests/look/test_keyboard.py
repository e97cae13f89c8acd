"""By keyboard alone: Tab goes once through a page, each stop is seen, and nothing keeps it."""

import pytest
from django.conf import settings
from django.test import Client
from django.urls import reverse
from playwright.sync_api import Browser, Page
from pytest_django.live_server_helper import LiveServer

from tests.browser import in_chromium, open_page
from tests.deadletters.making import make_letter
from tests.factories import make_admin, make_approval

pytestmark = pytest.mark.django_db(transaction=True)

MOST_STOPS = 120
# What has the focus, and whether something lies over it. The parts of a date have a ring around all of them.
STOP = """() => {
  const at = document.activeElement;
  if (at === document.body) return null;
  const box = at.getBoundingClientRect();
  const x = Math.max(box.left + Math.min(box.width, 40) / 2, 1); // the row of places may be scrolled
  const over = document.elementFromPoint(x, box.top + Math.min(box.height, 24) / 2);
  return {
    says: `${at.outerHTML.slice(0, 80)} at ${innerWidth} px of ${location.pathname}`,
    isSeen: over !== null && (over === at || at.contains(over) || over.contains(at)),
    hasRing: getComputedStyle(at).outlineStyle !== "none" || at.closest("label, .ask") !== null,
  };
}"""


def faults_of_walk(page: Page) -> list[str]:
    """There is no socket here, so the queue says over its first line that it is not live."""
    page.evaluate("document.activeElement.blur()")
    page.evaluate("document.getElementById('stale').remove()")
    faults: list[str] = []
    for _ in range(MOST_STOPS):
        page.keyboard.press("Tab")
        stop = page.evaluate(STOP)
        if stop is None:
            return faults
        if not (stop["isSeen"] and stop["hasRing"]):
            faults.append(stop["says"])
    return [*faults, f"{page.url} keeps the focus"]


def test_each_stop_of_tab_is_seen_on_a_telephone_and_on_a_desk(
    live_server: LiveServer, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "DEBUG", True)
    client.force_login(make_admin())
    approval = make_approval()
    for _ in range(6):
        make_letter()

    def walk(browser: Browser) -> list[str]:
        page = open_page(browser, live_server.url, client, reduced_motion="reduce")
        faults: list[str] = []
        for path in (
            reverse("moderation:item", args=[approval.pk]),
            reverse("deadletters:list"),
            reverse("home:styleguide"),
        ):
            for width in (360, 1440):
                page.set_viewport_size({"width": width, "height": 740})
                page.goto(path)
                faults += faults_of_walk(page)
        return faults

    assert in_chromium(walk) == []
