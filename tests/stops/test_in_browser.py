"""The stops in Chromium: a button that has to be kept pressed, and looks at every page."""

import pytest
from django.test import Client
from playwright.sync_api import Browser, Dialog, Page, expect
from pytest_django.live_server_helper import LiveServer

from controlplane.stops import actions
from controlplane.stops.models import Stop
from tests.browser import faults_of, in_chromium, in_database, open_page
from tests.factories import make_admin, make_turn
from tests.home.making import make_heartbeat

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_stop_is_engaged_watched_and_released(
    live_server: LiveServer, client: Client
) -> None:
    client.force_login(make_admin())
    make_heartbeat(["responder"], age_s=-60, applied_version=1_000_000)
    turn = make_turn()

    def look(browser: Browser) -> None:
        page = open_page(browser, live_server.url, client, reduced_motion="reduce")
        page.goto("/stops/")
        assert faults_of(page) == []
        press_too_short(page)
        page.set_viewport_size({"width": 360, "height": 760})
        hold_by_key(page)
        expect(
            page.get_by_role("heading", name="Hard stop · everything")
        ).to_be_visible()
        expect(page.locator("#stop .tag", has_text="Proven")).to_be_visible()
        expect(page.locator("#lamp")).to_have_text("Hard stop · everything")
        in_database(list_turn)
        expect(page.locator("#delivered a")).to_have_text(
            f"{turn.trace_id[:8]}…{turn.trace_id[-4:]}", timeout=5_000
        )
        assert faults_of(page) == []
        page.get_by_role("link", name="All stops").click()
        expect(page.get_by_role("link", name="Details and release")).to_be_visible()
        assert faults_of(page) == []
        release(page)
        expect(page.locator("#stop .tag", has_text="Released")).to_be_visible()
        expect(page.locator("#receipt")).to_contain_text("every turn accounted for")
        assert faults_of(page) == []

    def list_turn() -> None:
        Stop.objects.get().listed.create(
            fate="delivered",
            turn_id=turn.pk,
            conversation_id=turn.conversation_id,
            trace_id=turn.trace_id,
        )

    in_chromium(look)
    made = Stop.objects.get()
    assert (made.mode, made.released_by) == ("hard", "ada")


def press_too_short(page: Page) -> None:
    page.get_by_role("button", name="Hard stop").click()
    expect(page.locator("#hold-says")).to_contain_text("Nothing was stopped.")
    page.get_by_role("button", name="Soft stop").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#hold-says")).to_contain_text("Nothing was stopped.")
    in_database(expect_none)


def expect_none() -> None:
    assert not Stop.objects.exists()


def hold_by_key(page: Page) -> None:
    page.get_by_role("button", name="Hard stop").focus()
    page.keyboard.down("Enter")
    page.wait_for_url("**/stops/*-*/")
    page.keyboard.up("Enter")


def release(page: Page) -> None:
    """It asks again who they are, and keeps what was written."""
    page.get_by_role("link", name="Details and release").click()
    page.get_by_label("Why may it go on?").fill("prices are right")
    page.get_by_role("button", name="Release it").click()
    page.get_by_label("Password").fill("correct horse battery")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Do it").click()


def test_who_cannot_hold_is_asked_once_more(
    live_server: LiveServer, client: Client
) -> None:
    client.force_login(make_admin())

    def look(browser: Browser) -> None:
        page = open_page(browser, live_server.url, client)
        page.goto("/stops/?target=tier:pro")
        asked: list[str] = []

        def dismiss(dialog: Dialog) -> None:
            asked.append(dialog.message)
            dialog.dismiss()

        page.once("dialog", dismiss)
        soft = page.get_by_role("button", name="Soft stop")
        soft.evaluate("button => button.click()")
        in_database(expect_none)
        page.once("dialog", lambda dialog: dialog.accept())
        soft.evaluate("button => button.click()")
        page.wait_for_url("**/stops/*-*/")
        assert asked == ["Soft stop: are you sure?"]

    in_chromium(look)
    made = Stop.objects.get()
    assert (made.mode, made.scope, made.value) == ("soft", "tier", "pro")
    assert actions.release_stop(made, reason="over", releaser="ada")
