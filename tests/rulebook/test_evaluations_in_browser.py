"""An evaluation in Chromium: of a file that is chosen, watched while a worker is at it, read, and another cancelled."""

import pytest
from django.test import Client
from playwright.sync_api import Browser, FilePayload, Page, expect
from pytest_django.live_server_helper import LiveServer

from controlplane import jobs
from controlplane.evaluations import running
from controlplane.evaluations.models import Evaluation
from tests.browser import (
    broken_of,
    come_back,
    faults_of,
    in_chromium,
    in_database,
    open_page,
)
from tests.factories import make_admin, sign_in_now
from tests.rulebook.making import BRANDS, put_in_draft

pytestmark = pytest.mark.django_db(transaction=True)

TEXTS = "text,label\n" + (
    "I like Tesla,hit\nA Tesla is engraved,pass\nI like BMW,brands\nHello,pass\n" * 20
)


def test_an_evaluation_of_a_file_is_watched_read_and_another_one_cancelled(
    live_server: LiveServer, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    sign_in_now(client, make_admin())
    put_in_draft(BRANDS)
    monkeypatch.setattr(jobs, "RUN_S", 0.0)  # a batch for each wake-up

    def look(browser: Browser) -> list[str]:
        page = open_page(browser, live_server.url, client, reduced_motion="reduce")
        broken = broken_of(page)
        return [*_start(page), *_watch(page), *_cancel(page), *broken]

    assert in_chromium(look) == []
    jobs_so_far = Evaluation.objects.order_by("requested_at")
    assert [job.state for job in jobs_so_far] == ["done", "cancelled"]
    assert [job.texts for job in jobs_so_far] == [None, None]


def _choose(page: Page, text: str) -> None:
    file = FilePayload(name="cases.csv", mimeType="text/csv", buffer=text.encode())
    page.get_by_label("Out of a file").set_input_files(file)


def _start(page: Page) -> list[str]:
    page.goto("/rules/")
    page.keyboard.press("e")
    expect(page.get_by_text("Nothing was evaluated yet")).to_be_visible()
    found = faults_of(page)
    _choose(page, "x" * 900_001)
    expect(page.get_by_label("Labelled texts, as")).to_have_value("")
    assert page.locator("#texts-choose:invalid").count() == 1
    _choose(page, "text,label\nA,perhaps\n")
    page.get_by_label("Labelled texts, as").press("Control+Enter")
    expect(page.get_by_text("Line 2:")).to_be_visible()
    found += faults_of(page)
    _choose(page, TEXTS)
    expect(page.get_by_label("What they are called")).to_have_value("cases.csv")
    page.get_by_label("They are", exact=True).select_option("output")
    page.get_by_label("Labelled texts, as").press("Control+Enter")
    expect(page.get_by_text("0 of 80 gone through")).to_be_visible()
    return found + faults_of(page)


def _watch(page: Page) -> list[str]:
    """It changes by itself, up to the result."""
    in_database(running.run)
    expect(page.get_by_text("32 of 80 gone through")).to_be_visible()
    for _ in range(2):
        in_database(running.run)
    come_back(page)
    expect(page.get_by_text("80 of 80 gone through")).to_be_visible()
    expect(page.get_by_role("rowheader", name="All rules together")).to_be_visible()
    expect(page.locator("mark", has_text="Tesla").first).to_be_visible()
    found = faults_of(page)
    page.get_by_text("Brands 20 wrongly hit, 20 missed").press("Enter")
    expect(page.get_by_text("the first 10").last).to_be_visible()
    with page.expect_download() as taken:
        page.get_by_role("link", name="The report as JSON").click()
    assert taken.value.suggested_filename == "evaluation.json"
    return found + faults_of(page)


def _cancel(page: Page) -> list[str]:
    """What is opened to confirm it stays open while the page changes."""
    page.goto("/rules/evaluations/")
    page.get_by_label("Labelled texts, as").fill(TEXTS)
    page.get_by_role("button", name="Start").click()
    page.get_by_text("Cancel…").click()
    in_database(running.run)
    come_back(page)
    expect(page.get_by_text("32 of 80 gone through")).to_be_visible()
    found = faults_of(page)
    page.get_by_role("button", name="Yes, cancel it").click()
    expect(page.locator("#evaluation .tag").first).to_have_text("cancelled")
    return found + faults_of(page)
