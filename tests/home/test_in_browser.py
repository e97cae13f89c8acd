"""The control room and the small pages as people see them."""

from collections.abc import Callable

import pytest
from django.test import Client
from playwright.sync_api import Browser, Page, expect
from pytest_django.live_server_helper import LiveServer

from controlplane.home import services
from controlplane.runtime.models import ControlVersion
from controlplane.stops.models import Stop
from tests.browser import faults, in_chromium, in_database, open_page
from tests.factories import make_admin, make_approval, make_user
from tests.home.conftest import Down
from tests.home.making import all_up, make_heartbeat, make_status

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("services_down"),
]


@pytest.fixture(autouse=True)
def _version() -> None:
    ControlVersion.objects.get_or_create(pk=1)


def test_everyone_can_read_the_control_room(
    live_server: LiveServer, client: Client, services_down: Down
) -> None:
    client.force_login(make_admin())
    make_heartbeat(
        ["input-guard", make_status("gate", state="held", why="paused by Ada")]
    )
    make_heartbeat(["recorder"], age_s=60)
    make_approval()
    services_down("kafka")

    assert faults(live_server.url, client, "/") == []


def test_everyone_can_read_it_empty(live_server: LiveServer, client: Client) -> None:
    client.force_login(make_user("vera", "viewer"))

    assert faults(live_server.url, client, "/") == []


@pytest.mark.parametrize(
    "path", ["/accounts/login/?next=/queue/", "/nothing/", "/traces/4bf9/"]
)
def test_everyone_can_read_the_small_pages(
    live_server: LiveServer, client: Client, path: str
) -> None:
    if "login" not in path:
        client.force_login(make_user("vera", "viewer"))

    assert faults(live_server.url, client, path) == []


def test_everyone_can_read_why_they_are_not_signed_in(
    live_server: LiveServer, client: Client
) -> None:
    def fail(page: Page) -> None:
        page.get_by_label("User name").fill("mira")
        page.get_by_label("Password").fill("wrong")
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("alert")).to_contain_text("correct username")

    assert faults(live_server.url, client, "/accounts/login/", before=fail) == []


def test_everyone_can_read_that_they_are_refused(
    live_server: LiveServer, client: Client
) -> None:
    client.force_login(make_user("nora"))

    assert faults(live_server.url, client, "/") == []


def watching(server: LiveServer, client: Client, look: Callable[[Page], None]) -> None:
    def job(browser: Browser) -> None:
        page = open_page(browser, server.url, client)
        page.goto("/")
        look(page)

    in_chromium(job)


def test_what_happens_comes_by_itself_the_lamp_too(
    live_server: LiveServer, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = make_admin()
    client.force_login(ada)
    make_heartbeat(age_s=-60)  # stays alive for as long as the test looks

    def look(page: Page) -> None:
        expect(page.get_by_text("Everything runs")).to_be_visible()
        expect(page.locator("#lamp")).to_have_text("Running")
        change()
        expect(page.get_by_text("Valkey does not answer.")).to_be_visible(timeout=6_000)
        expect(page.locator("#lamp")).to_have_text("Hard stop · chat", timeout=6_000)
        assert page.locator("#room").count() == 1

    def change() -> None:
        monkeypatch.setattr(services.watch, "read", lambda: all_up("valkey"))
        in_database(
            lambda: Stop.objects.create(
                mode="hard",
                scope="workflow",
                value="chat",
                reason="x",
                requested_by=ada,
            )
        )

    watching(live_server, client, look)


def test_says_when_it_could_not_be_brought_up_to_date(
    live_server: LiveServer, client: Client
) -> None:
    client.force_login(make_user("vera", "viewer"))
    make_heartbeat(age_s=-60)

    def look(page: Page) -> None:
        page.route("**/room/", lambda route: route.fulfill(status=503, body="away"))
        note = page.get_by_role("status")
        expect(note).to_contain_text("the server answered 503", timeout=6_000)
        page.unroute("**/room/")
        page.route("**/room/", lambda route: route.abort())
        expect(note).to_contain_text("the server does not answer", timeout=6_000)
        page.unroute("**/room/")
        expect(page.locator("#stale")).to_be_hidden(timeout=6_000)

    watching(live_server, client, look)


def test_who_is_signed_out_meanwhile_is_asked_to_sign_in(
    live_server: LiveServer, client: Client
) -> None:
    client.force_login(make_user("vera", "viewer"))

    def look(page: Page) -> None:
        page.context.clear_cookies()
        expect(page.get_by_role("heading", name="Sign in")).to_be_visible(timeout=6_000)

    watching(live_server, client, look)
