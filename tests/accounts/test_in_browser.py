"""Signing in as a person does it: by a code of an app, by a passkey, and with wrong codes."""

from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.contrib.sessions.backends.db import SessionStore
from playwright.sync_api import Browser, CDPSession, Page, expect
from pytest_django.live_server_helper import LiveServer

from controlplane.accounts.models import Attempts
from tests.accounts.clock import age, code_of
from tests.browser import broken_of, faults_of, in_chromium, in_database
from tests.factories import make_user

pytestmark = pytest.mark.django_db(transaction=True)
PASSWORD = "correct horse battery"
ME = "/accounts/me/"


def sign_in(page: Page, path: str = ME) -> None:
    page.goto(path)
    page.get_by_label("User name").fill("lena")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in", exact=True).click()


def sign_out(page: Page) -> None:
    page.get_by_role("button", name="account and settings").click()
    page.get_by_role("button", name="Sign out").click()
    expect(page).to_have_url("/accounts/login/")


def add_app(page: Page, found: list[str]) -> str:
    """Add an authenticator app, keep the recovery codes, and return the app's key."""
    page.goto(ME)
    app = page.get_by_role("listitem").filter(has_text="Authenticator app")
    app.get_by_role("link", name="Add").click()
    secret = page.locator("dd.mono").inner_text()
    found += faults_of(page)
    page.get_by_label("six digits").fill(code_of(secret))
    page.get_by_role("button", name="Add the app").click()
    expect(page.get_by_role("heading", name="Recovery codes")).to_be_visible()
    found += faults_of(page)
    with page.expect_download() as download:
        page.get_by_role("link", name="Download").click()
    kept = Path(download.value.path()).read_text().split()
    assert kept == page.locator(".codes li").all_inner_texts()
    page.get_by_role("link", name="I have kept them").click()
    return secret


def authenticator(page: Page) -> tuple[CDPSession, dict[str, Any]]:
    """A device that keeps passkeys and lets its owner confirm without a touch."""
    device = page.context.new_cdp_session(page)
    device.send("WebAuthn.enable")
    options = {
        "protocol": "ctap2",
        "transport": "internal",
        "hasResidentKey": True,
        "hasUserVerification": True,
        "isUserVerified": True,
        "automaticPresenceSimulation": True,
    }
    key = device.send("WebAuthn.addVirtualAuthenticator", {"options": options})
    return device, key


def test_a_code_of_an_app_is_the_second_step_and_wrong_ones_are_throttled(
    live_server: LiveServer,
) -> None:
    make_user("lena", "lead")

    def look(browser: Browser) -> list[str]:
        page = browser.new_context(base_url=live_server.url).new_page()
        found = broken_of(page)
        sign_in(page)
        secret = add_app(page, found)
        found += faults_of(page)
        sign_out(page)

        sign_in(page, "/accounts/login/?next=/queue/")
        expect(page.get_by_role("heading", name="One more step")).to_be_visible()
        for _ in range(5):
            page.get_by_label("Code").fill("000000")
            page.get_by_role("button", name="Sign in", exact=True).click()
            expect(page.get_by_text("This code is wrong")).to_be_visible()
        page.get_by_label("Code").fill(code_of(secret))
        page.get_by_role("button", name="Sign in", exact=True).click()
        expect(page.get_by_text("Try again in 5 minutes, at")).to_be_visible()
        found += faults_of(page)

        in_database(lambda: Attempts.objects.all().delete())  # minutes later
        page.get_by_label("Code").fill(code_of(secret))
        page.get_by_role("button", name="Sign in", exact=True).click()
        expect(page).to_have_url("/queue/")
        return found

    assert in_chromium(look) == []


def add_passkey(page: Page, found: list[str]) -> None:
    page.goto(ME)
    passkeys = page.get_by_role("listitem").filter(has_text="In place of")
    passkeys.get_by_role("link", name="Add").click()
    page.get_by_label("Name, to tell").fill("Lena's laptop")
    found += faults_of(page)
    page.get_by_role("button", name="Add the passkey").click()
    expect(page.get_by_role("heading", name="Recovery codes")).to_be_visible()
    page.get_by_role("link", name="I have kept them").click()
    expect(page.get_by_text("signs in alone")).to_be_visible()


def remove_passkey(page: Page, found: list[str]) -> None:
    """Who signed in a while ago is asked again, and shows the passkey for it."""
    page.goto(ME)
    page.get_by_role("link", name="Remove Lena's laptop").click()
    expect(page.get_by_role("heading", name="Is it still you")).to_be_visible()
    found += faults_of(page)
    page.get_by_role("link", name="Use a passkey").click()
    found += faults_of(page)
    page.get_by_role("button", name="Use a passkey").click()
    expect(page.get_by_role("heading", name="Remove Lena's laptop")).to_be_visible()
    found += faults_of(page)
    page.get_by_role("button", name="Remove it").click()
    expect(page.get_by_text("You have none")).to_be_visible()


def sign_in_long_ago(page: Page) -> None:
    [key] = [
        each["value"]
        for each in page.context.cookies()
        if each["name"] == settings.SESSION_COOKIE_NAME
    ]
    in_database(lambda: age(SessionStore(key), 301))


def test_a_passkey_signs_in_without_a_password_and_shows_who_it_is_again(
    live_server: LiveServer,
) -> None:
    make_user("lena", "lead")

    def look(browser: Browser) -> list[str]:
        page = browser.new_context(base_url=live_server.url).new_page()
        found = broken_of(page)
        device, key = authenticator(page)
        sign_in(page)
        add_passkey(page, found)
        sign_out(page)

        page.goto("/accounts/login/?next=/queue/")
        device.send("WebAuthn.setUserVerified", key | {"isUserVerified": False})
        page.get_by_role("button", name="Sign in with a passkey").click()
        expect(page.get_by_text("No passkey was used")).to_be_visible()
        found += faults_of(page)
        device.send("WebAuthn.setUserVerified", key | {"isUserVerified": True})
        page.get_by_role("button", name="Sign in with a passkey").click()
        expect(page).to_have_url("/queue/")

        sign_in_long_ago(page)
        remove_passkey(page, found)
        return found

    assert in_chromium(look) == []
