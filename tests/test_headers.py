"""What each answer says to browsers, and that our look at pages would notice what they refuse."""

import pytest
from django.test import Client
from playwright.sync_api import Page
from pytest_django.live_server_helper import LiveServer

from controlplane.headers import CONTENT_SECURITY_POLICY
from tests.browser import faults

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    "path", ["/accounts/login/", "/healthz", "/nothing/here/", "/api/nothing/", "/"]
)
def test_every_answer_allows_nothing_inline_and_nothing_of_others(
    client: Client, path: str
) -> None:
    headers = client.get(path).headers

    assert headers["Content-Security-Policy"] == CONTENT_SECURITY_POLICY
    assert "unsafe" not in CONTENT_SECURITY_POLICY
    assert "default-src 'none'" in CONTENT_SECURITY_POLICY
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert "camera=()" in headers["Permissions-Policy"]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("written", "refused"),
    [
        ("<p style='color: red'>x</p>", "style-src-attr inline"),
        ("<img src='http://127.0.0.1:9/x.png' alt=''>", "img-src http://127.0.0.1:9/"),
    ],
)
def test_what_a_page_is_refused_is_a_fault_of_it(
    live_server: LiveServer, client: Client, written: str, refused: str
) -> None:
    def write(page: Page) -> None:
        with page.expect_console_message(lambda said: refused in said.text):
            page.evaluate("html => document.body.innerHTML += html", written)

    found = faults(live_server.url, client, "/accounts/login/", before=write)

    assert any(refused in fault for fault in found)
