"""/api/docs in a browser that lets in nothing from elsewhere and no inline script."""

from pathlib import Path

import pytest
from django.test import Client
from playwright.sync_api import Browser, Route, expect
from pytest_django.live_server_helper import LiveServer

from tests.browser import in_chromium, open_page

pytestmark = pytest.mark.django_db(transaction=True)
PAGE = (Path(__file__).parents[2] / "docs/api.md").read_text()
[POLICY] = [
    line.strip() for line in PAGE.splitlines() if line.startswith("    default-src")
]


def under_policy(route: Route) -> None:
    response = route.fetch()
    headers = response.headers | {"content-security-policy": POLICY}
    route.fulfill(response=response, headers=headers)


def test_it_works_under_the_policy_that_its_page_names(
    live_server: LiveServer, client: Client
) -> None:
    assert "unsafe" not in POLICY

    def look(browser: Browser) -> list[str]:
        page = open_page(browser, live_server.url, client)
        said: list[str] = []
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.route("**/api/docs", under_policy)
        page.goto("/api/docs")
        operation = page.locator(".opblock", has_text="Engage a stop")
        operation.locator(".opblock-summary").first.click()
        expect(operation.get_by_text("In force at once")).to_be_visible()
        return said

    assert in_chromium(look) == []
