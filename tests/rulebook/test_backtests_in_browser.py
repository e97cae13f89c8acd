"""A backtest in Chromium: started by keyboard, watched while a worker is at it, read, and another one cancelled."""

import pytest
from django.test import Client
from playwright.sync_api import Browser, Page, expect
from pytest_django.live_server_helper import LiveServer

from controlplane import jobs
from controlplane.backtests import running
from controlplane.backtests.models import Backtest
from tests.backtests.making import question, write, write_answers
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
from tests.rulebook.making import BRANDS, publish, put_in_draft

pytestmark = pytest.mark.django_db(transaction=True)

WIDER = make_terms(terms=("tesla", "bmw"), must_hit=("I like Tesla",))
HOLDING = make_terms(
    id="legal", name="Legal", terms=("sue",), action="escalate", team="legal", reply=""
)


def test_a_backtest_is_started_watched_read_and_another_one_cancelled(
    live_server: LiveServer, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    sign_in_now(client, make_admin())
    publish(BRANDS)
    put_in_draft(WIDER, HOLDING)
    write_answers(["A Tesla", "A BMW is not ours", "They may sue us", "Hello"] * 10)
    write(question("May I sue you?", tier="pro", minute=5))
    monkeypatch.setattr(jobs, "RUN_S", 0.0)  # a batch for each wake-up

    def look(browser: Browser) -> list[str]:
        page = open_page(browser, live_server.url, client, reduced_motion="reduce")
        broken = broken_of(page)
        return [*_start(page), *_watch(page), *_cancel(page), *broken]

    assert in_chromium(look) == []
    states = Backtest.objects.order_by("requested_at").values_list("state", flat=True)
    assert list(states) == ["done", "cancelled"]


def _start(page: Page) -> list[str]:
    page.goto("/rules/")
    page.keyboard.press("b")
    expect(page.get_by_text("No draft was tested yet")).to_be_visible()
    found = faults_of(page)
    page.get_by_text("1,000", exact=True).click()
    page.keyboard.press("Control+Enter")
    expect(page.get_by_text("0 of 41 gone through")).to_be_visible()
    return found + faults_of(page)


def _watch(page: Page) -> list[str]:
    """It changes by itself, up to the result; axe looks at its samples and at the draft in tests/e2e/test_editor_walk.py."""
    in_database(running.run)
    expect(page.get_by_text("8 of 41 gone through")).to_be_visible()
    assert page.locator("progress").get_attribute("value") == "8"
    for _ in range(6):
        in_database(running.run)
    come_back(page)
    expect(page.get_by_text("41 of 41 gone through")).to_be_visible()
    expect(page.get_by_role("heading", name="By rule")).to_be_visible()
    found = faults_of(page)
    page.get_by_role("link", name="sample").click()
    expect(page.locator("mark", has_text="BMW").first).to_be_visible()
    page.goto("/rules/review/")
    expect(page.get_by_text("newly held")).to_be_visible()
    return found


def _cancel(page: Page) -> list[str]:
    """From an editor; what is opened to confirm it stays open while the page changes."""
    page.goto("/rules/rule/legal/")
    page.get_by_role("button", name="Backtest with this rule").click()
    page.get_by_text("Cancel…").click()
    in_database(running.run)
    come_back(page)
    expect(page.get_by_text("8 of 41 gone through")).to_be_visible()
    found = faults_of(page)
    page.get_by_role("button", name="Yes, cancel it").click()
    expect(page.locator("#backtest .tag").first).to_have_text("cancelled")
    found += faults_of(page)
    page.get_by_role("link", name="All backtests").click()
    expect(page.get_by_text("as it was in its editor")).to_be_visible()
    return found + faults_of(page)
