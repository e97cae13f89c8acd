"""The trace page as people see it."""

import pytest
from django.test import Client
from django.urls import reverse
from playwright.sync_api import Browser, Page, expect
from pytest_django.live_server_helper import LiveServer

from controlplane.chat.models import Outcome, Turn
from tests.browser import faults, in_chromium, in_database, open_page
from tests.factories import make_turn, make_user
from tests.traces_pages.making import make_payload, make_record
from tests.traces_pages.scenes import edited_trace

pytestmark = pytest.mark.django_db(transaction=True)


def open_all(page: Page) -> None:
    page.evaluate(
        "document.querySelectorAll('details').forEach(hop => { hop.open = true })"
    )


def url(turn: Turn) -> str:
    return reverse("traces:trace", args=[turn.trace_id])


def test_everyone_can_read_a_trace(live_server: LiveServer, client: Client) -> None:
    client.force_login(make_user("otto", "auditor"))
    turn = edited_trace()

    assert faults(live_server.url, client, url(turn), before=open_all) == []


def test_everyone_can_read_a_text_that_hides_something(
    live_server: LiveServer, client: Client
) -> None:
    client.force_login(make_user("otto", "auditor"))
    turn = make_turn(text="\u202e" + "long" * 80)
    record = make_record(turn.trace_id, "agents.dlq", text=turn.text)
    make_payload(record, b"\xff" * 300)

    assert faults(live_server.url, client, url(turn), before=open_all) == []
    raw = f"{url(turn)}agents.dlq/3/{record.offset}/"
    assert faults(live_server.url, client, raw) == []


def test_what_comes_is_added_and_what_was_opened_stays_open(
    live_server: LiveServer, client: Client
) -> None:
    client.force_login(make_user("vera", "viewer"))
    turn = make_turn()
    make_record(turn.trace_id, "user.messages.raw", text="What does it cost?")

    def more() -> None:
        make_record(turn.trace_id, "user.messages.cleaned", ms=2)

    def finish() -> None:
        Outcome.objects.create(turn=turn, state="failed", reason="no answer")

    def watch(browser: Browser) -> None:
        page = open_page(browser, live_server.url, client)
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(url(turn))
        page.get_by_text("user.messages.raw").first.click()
        text = page.locator(".said", has_text="What does it cost?")
        expect(text).to_be_visible()
        in_database(more)
        expect(page.get_by_text("user.messages.cleaned").first).to_be_visible()
        expect(text).to_be_visible()
        in_database(finish)
        expect(page.get_by_text("no answer")).to_be_visible()
        expect(text).to_be_visible()
        page.wait_for_timeout(500)
        asked.clear()
        page.wait_for_timeout(2_500)
        assert [each for each in asked if "/traces/" in each] == []  # all has come

    in_chromium(watch)
