"""In Chromium, with few rules: a worker that is late, the way back, a file. tests/e2e/test_editor_walk.py has the editor."""

from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from playwright.sync_api import Browser, FilePayload, Page, expect
from pytest_django.live_server_helper import LiveServer

from guardrails.models import Publication
from tests.browser import (
    broken_of,
    come_back,
    faults_of,
    in_chromium,
    in_database,
    open_page,
)
from tests.factories import make_admin, sign_in_now
from tests.guardrails.factories import make_terms
from tests.home.making import make_heartbeat
from tests.rulebook.making import BRANDS, publish
from tests.traces_pages.making import make_record

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_late_worker_is_seen_as_are_the_way_back_and_what_is_wrong_with_a_file(
    live_server: LiveServer, client: Client
) -> None:
    sign_in_now(client, make_admin())
    first = publish(BRANDS)
    publish(make_terms(reply="Ours.", must_hit=("tesla",)))
    make_heartbeat(ruleset_hash=first.rule_set_id, age_s=-3_600)

    def look(browser: Browser) -> list[str]:
        page = open_page(browser, live_server.url, client, reduced_motion="reduce")
        broken = broken_of(page)
        return [*_list(page), *_way_back(page, first), *_import(page), *broken]

    assert in_chromium(look) == []


def _list(page: Page) -> list[str]:
    """What a rule hits is counted while the page is looked at."""
    page.goto("/rules/")
    expect(page.locator("#published")).to_contain_text("obeyed by 0 of 1 worker")
    found = faults_of(page)
    row = page.get_by_role("row", name="Brands")
    expect(row.locator('[data-says="hit in 24 h"]')).to_have_text("0")
    lately = timezone.now() - timedelta(hours=1)
    in_database(
        lambda: make_record(
            "a" * 32, "user.messages.cleaned", rules=["brands"], at=lately
        )
    )
    come_back(page)
    expect(row.locator('[data-says="hit in 24 h"]')).to_have_text("1")
    return found


def _way_back(page: Page, earlier: Publication) -> list[str]:
    page.goto(reverse("rules:publication", args=[earlier.pk]))
    found = faults_of(page)
    page.get_by_label("Why?").fill("too many were right")
    page.get_by_role("button", name="Roll back to it").click()
    expect(page.locator("#published")).to_contain_text("obeyed by 1 of 1 worker")
    return found


def _import(page: Page) -> list[str]:
    """The file is seen before it is sent."""
    page.goto("/rules/import/")
    csv = "id,name\nA,ä".encode()
    file = FilePayload(name="x.csv", mimeType="text/csv", buffer=csv)
    page.get_by_label("Out of a file").set_input_files(file)
    expect(page.get_by_label("Rules, as JSON or CSV")).to_have_value("id,name\nA,ä")
    page.get_by_role("button", name="See what it changes").click()
    expect(page.get_by_text("Line 2:")).to_be_visible()
    found = faults_of(page)
    good = "id,name,direction,kind,action,terms\nladas,Ladas,output,terms,tag,lada\n"
    page.get_by_label("Rules, as JSON or CSV").fill(good)
    page.keyboard.press("Control+Enter")
    expect(page.get_by_role("heading", name="Ladas")).to_be_visible()
    found += faults_of(page)
    page.get_by_role("button", name="Put them into the draft").click()
    expect(page.get_by_text("1 changed")).to_be_visible()
    return found + faults_of(page)
