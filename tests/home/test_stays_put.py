"""The control room changes every two seconds, and disturbs nobody who uses it."""

import pytest
from django.test import Client
from playwright.sync_api import Browser, Locator, Page, expect
from pytest_django.live_server_helper import LiveServer

from controlplane.runtime.models import ControlVersion, Heartbeat
from tests.browser import in_chromium, in_database, open_page
from tests.factories import make_user
from tests.home.making import make_heartbeat, make_status

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("services_down"),
]


def top(place: Locator) -> float:
    box = place.bounding_box()
    assert box
    return box["y"]


def trouble() -> None:
    """Three lines more above the agents."""
    held = make_status("gate", state="held", why="soft stop")
    broken = make_status("intake", state="broken", why="it failed")
    make_heartbeat([held, broken], age_s=-60, instance="host-b:trouble")
    make_heartbeat(age_s=30, instance="host-c:silent")


def over() -> None:
    Heartbeat.objects.exclude(instance="host-a:well").delete()


def test_nothing_moves_or_is_lost_when_it_changes(
    live_server: LiveServer, client: Client
) -> None:
    ControlVersion.objects.get_or_create(pk=1)
    client.force_login(make_user("vera", "viewer"))
    make_heartbeat(age_s=-60, instance="host-a:well")

    def job(browser: Browser) -> None:
        size = {"width": 1000, "height": 700}
        page = open_page(browser, live_server.url, client, viewport=size)
        page.goto("/")
        _what_is_pointed_at_stays(page)
        _what_is_opened_selected_and_focused_stays(page)
        _what_is_read_further_down_stays(page)

    in_chromium(job)


def _what_is_pointed_at_stays(page: Page) -> None:
    """When lines come above it, and when they go again; with and without room to scroll."""
    row, lines = page.locator("#service-kafka"), page.locator("#wrong-lines > li")
    row.hover()
    was = top(row)
    in_database(trouble)
    expect(lines).to_have_count(3, timeout=6_000)
    assert top(row) == pytest.approx(was, abs=1)

    page.evaluate("scrollTo(0, 0)")
    row.hover(position={"x": 5, "y": 5})
    was = top(row)
    scrolled = page.evaluate("scrollY")
    in_database(over)
    expect(lines).to_have_count(0, timeout=6_000)
    assert top(row) == pytest.approx(was, abs=1)
    assert page.evaluate("scrollY") <= scrolled
    page.mouse.move(500, 20)  # over the shell, which is no part of it
    assert page.evaluate("getComputedStyle(main).paddingTop") == "0px"


def _what_is_opened_selected_and_focused_stays(page: Page) -> None:
    page.locator("#minutes > summary").click()
    link = page.get_by_role("link", name="services answer")
    page.evaluate(
        """getSelection().selectAllChildren(document.querySelector('#agent-gate th'))"""
    )
    link.focus()
    page.evaluate("scrollTo(0, 200)")
    was = top(link)
    in_database(trouble)
    expect(page.locator("#wrong-lines > li")).to_have_count(3, timeout=6_000)

    expect(page.locator("#minutes")).to_have_attribute("open", "")
    expect(link).to_be_focused()
    assert page.evaluate("getSelection().toString()") == "gate"
    assert top(link) == pytest.approx(was, abs=1)


def _what_is_read_further_down_stays(page: Page) -> None:
    """As on a phone, where nothing points and nothing has the focus."""
    row = page.locator("#agent-recorder")
    page.evaluate("document.activeElement.blur()")
    page.evaluate("document.querySelector('#agent-gate').scrollIntoView()")
    was = top(row)
    in_database(over)
    expect(page.locator("#wrong-lines > li")).to_have_count(0, timeout=6_000)
    assert top(row) == pytest.approx(was, abs=1)
