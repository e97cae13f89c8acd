"""Outgoing mail in Chromium: at each width, light and dark, by keyboard, without scripts."""

import pytest
from django.test import Client
from django.urls import reverse
from playwright.sync_api import Browser, expect
from pytest_django.live_server_helper import LiveServer

from controlplane.effects.models import Effect, ListedEffect
from tests.browser import broken_of, faults_of, in_chromium, open_page
from tests.effects.making import make_effect, states, stop
from tests.factories import make_admin, make_moderator

pytestmark = pytest.mark.django_db(transaction=True)


def test_held_mails_are_looked_at_and_sent_by_keyboard(
    live_server: LiveServer, client: Client
) -> None:
    halted = stop(make_admin())
    first = make_effect("bo", state="held", stop=halted)
    long_name = "a.very.long.name.of.somebody.who.writes.often"
    make_effect(long_name, state="held", stop=halted)
    lost = make_effect("lost", state="unknown", error="The connection broke.")
    ListedEffect.objects.create(stop=halted, effect=lost, was_unknown=True)
    client.force_login(make_moderator())

    def watch(browser: Browser) -> list[str]:
        page = open_page(browser, live_server.url, client, reduced_motion="reduce")
        found = broken_of(page)
        for path in (
            reverse("effects:effect", args=[lost.pk]),
            "/effects/?state=held",
        ):
            page.goto(path)
            found += faults_of(page)
        page.get_by_label(f"Mail {first.pk} to bo").focus()
        page.keyboard.press("Space")
        page.get_by_role("button", name="Look at them").focus()
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", name="Decide on 1 mail")).to_be_visible()
        page.go_back()
        page.get_by_label("the oldest 2 that match").check()
        page.get_by_role("button", name="Look at them").click()
        expect(page.get_by_role("heading", name="Decide on 2 mails")).to_be_visible()
        found += faults_of(page)
        page.get_by_label("Reason").fill("prices are right again")
        page.get_by_role("button", name="Send", exact=True).focus()
        page.keyboard.press("Enter")
        expect(page.get_by_text("2 mails put on the way.")).to_be_visible()
        return found

    assert in_chromium(watch) == []
    assert sorted(states().values()) == ["unknown", "waiting", "waiting"]


def test_an_unknown_mail_is_settled_without_javascript(
    live_server: LiveServer, client: Client
) -> None:
    lost = make_effect("lost", state="unknown")
    client.force_login(make_moderator())

    def watch(browser: Browser) -> None:
        page = open_page(browser, live_server.url, client, java_script_enabled=False)
        page.goto("/effects/")
        page.get_by_role("link", name="lost@customer.example").click()
        page.get_by_role("button", name="It was sent").click()
        page.get_by_label("Reason").fill("it is in the server's log")
        page.get_by_role("button", name="It was sent").click()
        expect(page.get_by_text("1 mail marked as sent.")).to_be_visible()
        page.goto(f"/effects/{lost.pk}/")
        expect(page.get_by_text("it is in the server's log")).to_be_visible()

    in_chromium(watch)
    assert Effect.objects.get().state == "sent"
