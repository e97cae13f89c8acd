"""Automatic stops in Chromium: how close they are, live, and a change that asks again who it is."""

import pytest
from django.test import Client
from django.utils import timezone
from playwright.sync_api import Browser, expect
from pytest_django.live_server_helper import LiveServer

from controlplane.stops.models import StopRule
from tests.browser import faults_of, in_chromium, in_database, open_page
from tests.factories import make_admin
from tests.stops.rules import make_rule

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_rule_is_watched_and_changed(live_server: LiveServer, client: Client) -> None:
    StopRule.objects.all().delete()
    client.force_login(make_admin())
    make_rule()

    def count(flagged: int) -> None:
        StopRule.objects.update(count=flagged, items=50, measured_at=timezone.now())

    def look(browser: Browser) -> None:
        page = open_page(browser, live_server.url, client, reduced_motion="reduce")
        in_database(lambda: count(4))
        page.goto("/stops/")
        meter = page.get_by_role("meter", name="Flagged replies: how close to tripping")
        expect(meter).to_have_attribute("value", "40")
        in_database(lambda: count(9))
        expect(meter).to_have_attribute("value", "90", timeout=5_000)
        expect(page.locator("#rules .tag")).to_have_text("near")
        assert faults_of(page) == []
        page.set_viewport_size({"width": 360, "height": 760})
        page.get_by_role("link", name="Flagged replies").click()
        page.get_by_label("Trips above (%)").fill("30")
        page.get_by_label("Why the change?").fill("it trips by chance")
        assert faults_of(page) == []
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        page.get_by_label("Password").fill("correct horse battery")
        page.keyboard.press("Enter")
        page.get_by_role("button", name="Do it").click()
        expect(
            page.get_by_text("More than 30 % of the last 50 replies")
        ).to_be_visible()

    in_chromium(look)
    assert StopRule.objects.get().threshold == 30
