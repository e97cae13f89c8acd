"""The styleguide in Chromium: everybody can read every component."""

import pytest
from django.conf import settings
from django.test import Client
from playwright.sync_api import Page, expect
from pytest_django.live_server_helper import LiveServer

from tests.browser import faults
from tests.factories import make_admin

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _debug(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "DEBUG", True)


def check_icons(page: Page) -> None:
    """A sprite that the content security policy refuses would draw nothing."""
    boxes = page.locator(".card svg.icon").evaluate_all(
        "icons => icons.map(icon => icon.getBBox().width)"
    )
    assert boxes
    assert all(boxes)


def test_everyone_can_read_every_component(
    live_server: LiveServer, client: Client
) -> None:
    client.force_login(make_admin())

    assert faults(live_server.url, client, "/styleguide/", before=check_icons) == []


@pytest.mark.parametrize(
    ("opener", "opened"),
    [("Open a dialog", "dialog#example"), ("Open a menu", "#example-menu")],
)
def test_everyone_can_read_what_lies_over_the_page(
    live_server: LiveServer, client: Client, opener: str, opened: str
) -> None:
    client.force_login(make_admin())

    def open_it(page: Page) -> None:
        page.get_by_role("button", name=opener).click()
        expect(page.locator(opened)).to_be_visible()

    assert faults(live_server.url, client, "/styleguide/", before=open_it) == []
