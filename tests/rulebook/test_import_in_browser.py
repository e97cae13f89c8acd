"""The list with a worker that is late, and a file of rules, in Chromium. tests/e2e/test_editor_walk.py has the editor."""

import pytest
from django.test import Client
from playwright.sync_api import Browser, FilePayload, expect
from pytest_django.live_server_helper import LiveServer

from tests.browser import broken_of, faults_of, in_chromium, open_page
from tests.factories import make_admin, sign_in_now
from tests.home.making import make_heartbeat
from tests.rulebook.making import BRANDS, publish

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_file_is_seen_before_it_is_sent_and_its_wrong_line_is_named(
    live_server: LiveServer, client: Client
) -> None:
    sign_in_now(client, make_admin())
    publish(BRANDS)
    make_heartbeat(ruleset_hash="0" * 64, age_s=-3_600)

    def look(browser: Browser) -> list[str]:
        page = open_page(browser, live_server.url, client, reduced_motion="reduce")
        broken = broken_of(page)
        page.goto("/rules/")
        expect(page.locator("#published")).to_contain_text("obeyed by 0 of 1 worker")
        found = faults_of(page)
        page.get_by_role("link", name="Import").click()
        csv = "id,name\nA,ä".encode()
        file = FilePayload(name="x.csv", mimeType="text/csv", buffer=csv)
        chosen = page.get_by_label("Out of a file")
        expect(chosen).to_be_visible()
        chosen.set_input_files(file)
        expect(page.get_by_label("Rules, as JSON or CSV")).to_have_value("id,name\nA,ä")
        page.get_by_role("button", name="Import").click()
        expect(page.get_by_text("Line 2:")).to_be_visible()
        return found + faults_of(page) + broken

    assert in_chromium(look) == []
