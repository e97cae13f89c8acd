"""A stop's report in Chromium: found by a phrase, corrected on a telephone, watched; and on paper."""

import pytest
from django.test import Client
from playwright.sync_api import Browser, Page, expect
from pytest_django.live_server_helper import LiveServer

from tests.browser import broken_of, faults_of, in_chromium, in_database, open_page
from tests.factories import make_moderator
from tests.incidents.rows import carry_out, make_incident
from tests.moderation.rows import publish_rules

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_moderator_finds_whom_it_reached_and_corrects_it(
    live_server: LiveServer, client: Client
) -> None:
    client.force_login(make_moderator())
    publish_rules()
    stop = make_incident()

    def look(browser: Browser) -> None:
        page = open_page(browser, live_server.url, client, reduced_motion="reduce")
        broken = broken_of(page)
        page.goto(f"/stops/{stop.pk}/report/")
        find(page)
        page.set_viewport_size({"width": 360, "height": 760})
        write(page)
        send(page)
        page.get_by_role("link", name="To the report").click()
        expect(page.locator("#corrections")).to_contain_text("4 delivered")
        page.get_by_role("link", name="To print").click()
        expect(page.get_by_role("button", name="Print")).to_be_visible()
        assert faults_of(page) == []
        assert on_paper(page) == []
        page.get_by_role("link", name="Back to the report").click()
        assert on_paper(page) == []
        assert broken == []

    in_chromium(look)


def find(page: Page) -> None:
    page.get_by_label("Phrase in the reply").fill("25 % off")
    page.keyboard.press("Enter")
    expect(page.locator(".lines > li")).to_have_count(4)
    assert faults_of(page) == []


def write(page: Page) -> None:
    """The list is where the text was, and the text is where the list was."""
    page.get_by_role("link", name="Write a correction").click()
    page.get_by_label("What everybody gets").fill(
        "We were wrong.\nThe list price stands."
    )
    page.get_by_label("Why").fill("never ours to give")
    page.get_by_role("button", name="See who gets it").click()
    page.get_by_role("button", name="Change it").click()
    expect(page.get_by_label("Why")).to_have_value("never ours to give")
    page.get_by_role("button", name="See who gets it").click()
    expect(
        page.get_by_role("heading", name="Send this to 4 conversations?")
    ).to_be_visible()


def send(page: Page) -> None:
    """It is watched until it has arrived, and sent again where it was refused."""
    state = page.locator("#correction .tag").first
    assert faults_of(page) == []
    page.get_by_role("button", name="Send the correction").click()
    say_who_you_are(page)
    expect(state).to_have_text("being delivered")
    in_database(carry_out)
    expect(state).to_have_text("not everywhere")
    assert faults_of(page) == []
    page.get_by_role("button", name="Send it to this one all the same").click()
    in_database(carry_out)
    expect(state).to_have_text("delivered")


def say_who_you_are(page: Page) -> None:
    page.get_by_label("Password").fill("correct horse battery")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Do it").click()


def on_paper(page: Page) -> list[str]:
    """Return what can be pressed on paper, is not black on white there, or is wider than the sheet."""
    page.set_viewport_size({"width": 680, "height": 960})
    page.emulate_media(media="print", color_scheme="dark")
    found: list[str] = page.evaluate(_ON_PAPER)
    page.emulate_media(media="screen", color_scheme="light")
    return found


_ON_PAPER = """() => [
  ...[...document.querySelectorAll("button, input, .shell, nav, dialog")]
    .filter((element) => element.checkVisibility()).map((element) => element.outerHTML),
  ...[...document.querySelectorAll("main *")]
    .filter((element) => element.checkVisibility() && getComputedStyle(element).color !== "rgb(0, 0, 0)")
    .map((element) => getComputedStyle(element).color + element.outerHTML.slice(0, 200)),
  ...(getComputedStyle(document.body).backgroundColor === "rgb(255, 255, 255)" ? [] : ["no white paper"]),
  ...(document.documentElement.scrollWidth > 680 ? ["wider than the sheet"] : []),
]"""
