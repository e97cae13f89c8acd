"""The shell in Chromium: the palette, the keys, light and dark, and a lamp that is never green when nobody knows."""

import re
from collections.abc import Callable

import pytest
from django.test import Client
from django.urls import reverse
from playwright.sync_api import Browser, Page, Route, expect
from pytest_django.live_server_helper import LiveServer

from controlplane.stops.models import Stop
from tests.browser import faults, faults_of, in_chromium, in_database, open_page
from tests.factories import (
    make_admin,
    make_approval,
    make_moderator,
    make_turn,
    make_user,
)

pytestmark = pytest.mark.django_db(transaction=True)

Look = Callable[[Page], object]
PAGE = (
    "/nothing/here/"  # the shell is the same on every page; this one has nothing else
)


@pytest.fixture
def looking(live_server: LiveServer, client: Client) -> Callable[..., None]:
    def look_at(look: Look, path: str = PAGE, **context: object) -> None:
        def job(browser: Browser) -> None:
            page = open_page(browser, live_server.url, client, **context)
            page.goto(path)
            look(page)

        in_chromium(job)

    return look_at


# The palette


def test_the_palette_goes_where_the_person_may_go(
    looking: Callable[..., None], client: Client
) -> None:
    client.force_login(make_moderator())

    def look(page: Page) -> None:
        page.keyboard.press("Control+k")
        field = page.get_by_role("combobox", name="Go to or do")
        expect(field).to_be_focused()
        expect(page.get_by_role("option")).to_have_text(
            [
                re.compile(name)
                for name in ("Control room", "Queue", "Mail", "Stops", "Demo")
            ]
        )
        chosen = page.locator("[role=option][aria-selected=true]")
        page.keyboard.press("ArrowDown")
        expect(chosen).to_contain_text("Queue")
        expect(field).to_have_attribute("aria-activedescendant", "palette-queue")
        page.keyboard.press("ArrowUp")
        page.keyboard.press("ArrowUp")
        expect(chosen).to_contain_text("Demo")
        page.keyboard.type("zzz")
        expect(page.get_by_text("Nothing here is called that.")).to_be_visible()
        field.fill("que")
        expect(chosen).to_contain_text("Queue")
        page.keyboard.press("Enter")
        page.wait_for_url("**/queue/")

    looking(look)


def test_the_palette_jumps_to_the_trace_of_an_id_or_a_conversation(
    looking: Callable[..., None], client: Client
) -> None:
    client.force_login(make_user("vera", "viewer"))
    turn = make_turn(text="What does <b>it</b>\u200b cost?")

    def look(page: Page) -> None:
        for asked in (turn.trace_id[:8], turn.conversation_id):
            page.goto(PAGE)
            page.locator("#find").click()
            page.keyboard.type(asked)
            found = page.locator("#palette-turn-1")
            expect(found).to_contain_text("What does <b>it</b>U+200B cost?")
            expect(found).to_have_attribute("aria-selected", "true")
            page.keyboard.press("Enter")
            page.wait_for_url(f"**/traces/{turn.trace_id}/")

    looking(look)


def test_the_palette_presses_what_the_page_offers_and_gives_the_focus_back(
    looking: Callable[..., None], client: Client
) -> None:
    client.force_login(make_moderator())
    approval = make_approval()

    def look(page: Page) -> None:
        page.keyboard.press("Control+k")
        page.keyboard.type("edit")
        expect(page.get_by_role("option")).to_have_text([re.compile("^Edit")])
        page.keyboard.press("Enter")
        expect(page.get_by_label("What the customer gets instead")).to_be_focused()
        page.get_by_role("button", name="Find").focus()
        page.keyboard.press("Enter")
        page.keyboard.press("Escape")
        expect(page.locator("#find")).to_be_focused()

    looking(look, reverse("moderation:item", args=[approval.pk]))


def test_everyone_can_use_the_palette_the_menu_and_the_keys(
    live_server: LiveServer, client: Client
) -> None:
    client.force_login(make_admin())

    def look(browser: Browser) -> list[str]:
        page = open_page(browser, live_server.url, client, reduced_motion="reduce")
        page.set_viewport_size({"width": 360, "height": 740})
        page.goto(PAGE)
        found: list[str] = []
        for opener, opened in (
            ("Find", "#palette"),
            ("ada: account and settings", "#person"),
        ):
            page.get_by_role("button", name=opener).click()
            expect(page.locator(opened)).to_be_visible()
            found += faults_of(page)
            page.keyboard.press("Escape")
            expect(page.locator(opened)).to_be_hidden()
        page.keyboard.press("?")
        expect(page.locator("#keys")).to_be_visible()
        return found + faults_of(page)

    assert in_chromium(look) == []


# Keys, light and dark


def test_keys_of_one_letter_can_be_switched_off(
    looking: Callable[..., None], client: Client
) -> None:
    client.force_login(make_moderator())
    approval = make_approval()

    def look(page: Page) -> None:
        page.keyboard.press("?")
        keys = page.locator("#keys")
        expect(keys).to_contain_text("Approve and send")
        keys.get_by_label("Keys of one letter").uncheck()
        page.keyboard.press("Escape")
        for _ in range(2):  # remembered
            page.keyboard.press("?")
            page.keyboard.press("e")
            expect(keys).to_be_hidden()
            expect(page.get_by_role("radio", name="As drafted")).to_be_checked()
            page.reload()
        page.keyboard.press("Control+k")
        expect(page.locator("#palette")).to_be_visible()

    looking(look, reverse("moderation:item", args=[approval.pk]))


def test_light_or_dark_is_remembered_and_there_from_the_first_paint(
    looking: Callable[..., None], client: Client
) -> None:
    client.force_login(make_user("vera", "viewer"))

    def look(page: Page) -> None:
        def paper() -> str:
            return str(page.evaluate("getComputedStyle(document.body).backgroundColor"))

        light = paper()
        page.locator(".person").click()
        page.get_by_role("radio", name="Dark").check(force=True)
        dark = paper()
        assert dark != light
        page.add_init_script(
            "addEventListener('DOMContentLoaded', () => "
            "{ window.first = getComputedStyle(document.body).backgroundColor })"
        )
        page.goto("/accounts/login/")
        assert page.evaluate("window.first") == dark
        page.goto(PAGE)
        page.locator(".person").click()
        expect(page.get_by_role("radio", name="Dark")).to_be_checked()
        page.get_by_role("radio", name="System").check(force=True)
        assert paper() == light

    looking(look, color_scheme="light")


# The live part


def leave_unanswered(page: Page) -> list[Route]:
    """Keep what the shell asks from now on."""
    asked: list[Route] = []

    def keep(route: Route) -> None:
        asked.append(route)

    page.route("**/shell/", keep)
    return asked


def test_lamp_band_and_counts_come_by_themselves(
    looking: Callable[..., None], client: Client
) -> None:
    ada = make_admin()
    client.force_login(ada)

    def change() -> None:
        make_approval()
        Stop.objects.create(
            mode="hard", scope="workflow", value="chat", reason="x", requested_by="ada"
        )

    def look(page: Page) -> None:
        expect(page.locator("#lamp")).to_have_text("Running")
        expect(page.locator("#queue-count")).to_be_hidden()
        page.locator(".places a").first.focus()
        in_database(change)
        expect(page.locator("#lamp")).to_have_text(
            "Hard stop requested · chat", timeout=8_000
        )
        expect(page.locator(".band")).to_contain_text(
            "Nothing of it reaches a customer unless one of you decides so."
        )
        expect(page.locator("#queue-count")).to_have_text("1 waiting")
        expect(page.locator(".places a").first).to_be_focused()
        assert faults_of(page) == []

    looking(look)


def with_clock(look: Callable[[Page], None]) -> Callable[[Page], None]:
    """Look at a page whose time can be run ahead."""

    def clocked(page: Page) -> None:
        page.clock.install()
        page.goto(PAGE)
        look(page)

    return clocked


def test_a_lamp_that_cannot_be_refreshed_says_since_when(
    looking: Callable[..., None], client: Client
) -> None:
    client.force_login(make_user("vera", "viewer"))
    unknown = re.compile(r"State unknown since \d\d:\d\d:\d\d UTC")

    def look(page: Page) -> None:
        lamp = page.locator("#lamp")
        page.route("**/shell/", lambda route: route.fulfill(status=503, body="away"))
        page.clock.run_for(4_000)
        expect(lamp).to_have_text(unknown)
        expect(lamp).to_have_class("lamp plain")
        page.unroute("**/shell/")
        page.clock.run_for(4_000)
        expect(lamp).to_have_text("Running")
        unanswered = leave_unanswered(page)
        page.clock.run_for(12_000)
        expect(lamp).to_have_text(unknown)
        assert faults_of(page) == []
        assert {route.request.headers["x-live"] for route in unanswered} == {"true"}
        for route in unanswered:
            route.abort()

    looking(with_clock(look))


def test_a_page_that_was_not_seen_asks_at_once(
    looking: Callable[..., None], client: Client
) -> None:
    """Two minutes in the background, and back: first unknown, then right."""
    client.force_login(make_user("vera", "viewer"))

    def see(page: Page, *, hidden: bool) -> None:
        page.evaluate(
            """hidden => {
              Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
              document.dispatchEvent(new Event("visibilitychange"));
            }""",
            hidden,
        )

    def look(page: Page) -> None:
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        see(page, hidden=True)
        page.clock.run_for(120_000)
        assert [each for each in asked if "/shell/" in each] == []
        unanswered = leave_unanswered(page)
        with page.expect_request("**/shell/"):
            see(page, hidden=False)
        expect(page.locator("#lamp")).to_contain_text("State unknown since")
        for route in unanswered:
            route.continue_()
        expect(page.locator("#lamp")).to_have_text("Running")

    looking(with_clock(look))


def test_a_queue_without_its_socket_says_that_it_is_not_live(
    looking: Callable[..., None], client: Client
) -> None:
    """The server of these tests has no sockets."""
    client.force_login(make_moderator())

    def look(page: Page) -> None:
        note = page.locator("#stale")
        expect(note).to_contain_text(
            re.compile(
                r"Not up to date since \d\d:\d\d:\d\d UTC: the connection is lost"
            )
        )
        expect(page.locator("#item[data-stale]")).to_be_visible()
        expect(page.locator("#lamp")).to_have_text("Running")

    looking(look, reverse("moderation:queue"))


def test_who_is_offline_is_told(looking: Callable[..., None], client: Client) -> None:
    client.force_login(make_user("vera", "viewer"))

    def look(page: Page) -> None:
        page.context.set_offline(True)
        expect(page.locator("#stale")).to_contain_text("This computer is offline.")
        expect(page.locator("#lamp")).to_contain_text(
            "State unknown since", timeout=12_000
        )
        page.context.set_offline(False)
        expect(page.locator("#stale")).to_be_hidden()
        expect(page.locator("#lamp")).to_have_text("Running", timeout=8_000)

    looking(look)


def test_everyone_can_read_the_error_pages(
    live_server: LiveServer, client: Client
) -> None:
    client.force_login(make_user("vera", "viewer"))

    assert faults(live_server.url, client, PAGE) == []
