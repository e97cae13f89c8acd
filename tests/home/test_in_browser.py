"""The control room and the small pages as people see them."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone
from playwright.sync_api import Browser, Page, expect
from pytest_django.live_server_helper import LiveServer

from agents.topics import RESPONSES_FINAL, USER_RAW
from controlplane.audit.models import Entry
from controlplane.chat.models import Outcome
from controlplane.home import services
from controlplane.home.room import SHOWN_WORKERS
from controlplane.runtime.models import ControlVersion
from controlplane.stops.models import Stop
from tests.browser import faults, in_chromium, in_database, open_page
from tests.factories import make_admin, make_approval, make_turn, make_user
from tests.home.conftest import Down, KafkaSays
from tests.home.making import all_up, make_heartbeat, make_status

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("services_down"),
]


@pytest.fixture(autouse=True)
def _version() -> None:
    ControlVersion.objects.get_or_create(pk=1)


def make_everything_wrong(kafka_says: KafkaSays, services_down: Down) -> None:
    """Each kind of line, and more workers than are listed."""
    services_down("valkey", "scorers")
    kafka_says(
        {("input-guard", USER_RAW): 10_001, ("gate", RESPONSES_FINAL): 1_204_881},
        recent=41,
    )
    turn = make_turn(created_at=timezone.now() - timedelta(minutes=4))
    Outcome.objects.create(turn=turn, state="open")
    for age_s in range(300, 300 + SHOWN_WORKERS):
        started_at = timezone.now() - timedelta(seconds=age_s + 5)
        make_heartbeat(age_s=age_s, started_at=started_at)
    held = make_status("gate", state="held", why="paused by Ada")
    make_heartbeat([held, "relay"], age_s=-60, applied_version=-1)
    make_heartbeat(age_s=-60)
    make_approval(deadline_at=timezone.now() - timedelta(minutes=1))
    Stop.objects.create(
        mode="hard", scope="everything", reason="prices", requested_by="ada"
    )
    Entry.objects.create(
        actor="ada",
        action="stop_requested",
        subject=f"stop:{turn.pk}",
        detail={"reason": "prices are wrong"},
    )


def test_everyone_can_read_what_is_wrong(
    live_server: LiveServer,
    client: Client,
    kafka_says: KafkaSays,
    services_down: Down,
) -> None:
    client.force_login(make_admin())
    make_everything_wrong(kafka_says, services_down)

    def look_closer(page: Page) -> None:
        page.get_by_text("The charts as numbers").click()
        expect(page.locator("#wrong-lines > li")).to_have_count(14)

    assert faults(live_server.url, client, "/", before=look_closer) == []


def test_everyone_can_read_that_nothing_is_wrong(
    live_server: LiveServer, client: Client
) -> None:
    client.force_login(make_user("vera", "viewer"))
    make_heartbeat(age_s=-60)

    assert faults(live_server.url, client, "/") == []


def test_an_alert_comes_and_goes_by_itself(
    live_server: LiveServer, client: Client, kafka_says: KafkaSays
) -> None:
    client.force_login(make_user("vera", "viewer"))
    make_heartbeat(age_s=-60)

    def look(page: Page) -> None:
        wrong = page.get_by_role("region", name="What is wrong")
        expect(wrong).to_contain_text("Nothing is wrong.")
        kafka_says({("recorder", USER_RAW): 10_001})
        expect(wrong).to_contain_text(
            f"recorder is behind on {USER_RAW}: 10,001 records", timeout=6_000
        )
        kafka_says({("recorder", USER_RAW): 10_000})
        expect(wrong).to_contain_text("Nothing is wrong.", timeout=6_000)

    watching(live_server, client, look)


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
        page.get_by_role("button", name="Sign in", exact=True).click()
        expect(page.get_by_role("alert")).to_contain_text("not a user name")

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
        wrong = page.get_by_role("region", name="What is wrong")
        expect(wrong).to_contain_text("Valkey does not answer.", timeout=6_000)
        expect(page.locator("#lamp")).to_have_text(
            "Hard stop requested · chat", timeout=6_000
        )
        assert page.locator("#room").count() == 1

    def change() -> None:
        monkeypatch.setattr(services.watch, "read", lambda: all_up("valkey"))
        in_database(
            lambda: Stop.objects.create(
                mode="hard",
                scope="workflow",
                value="chat",
                reason="x",
                requested_by="ada",
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
