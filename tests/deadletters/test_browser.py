"""The dead letters pages as people see them: narrow and wide, light and dark, by keyboard."""

import pytest
from django.test import Client
from django.urls import reverse
from playwright.sync_api import Browser, expect
from pytest_django.live_server_helper import LiveServer

from controlplane.deadletters import actions, bulk
from controlplane.deadletters.models import Job, JobItem, Letter
from tests.browser import faults, in_chromium, in_database, open_page
from tests.deadletters.making import make_letter
from tests.factories import make_admin, make_user

pytestmark = pytest.mark.django_db(transaction=True)


def scene() -> list[Letter]:
    """Letters of every kind: long, hidden, unreadable, decided."""
    ada = make_admin()
    letters = [
        make_letter(reason="UnreadableError: Expected `object`, got `array`"),
        make_letter(
            b"\xff\x00" * 300,
            reason="UnreadableError: header ce_id is missing",
            headers=[("x" * 80, b"\xff" * 60), ("y\u202e", b"")],
            key=b"\xff" * 40,
            topic="discount.queries.pending_approval",
        ),
        make_letter(
            ('{"text": "a\u202eb' + "long" * 90 + '"}').encode(),
            agent="output-guard",
            reason="ValueError: " + "very " * 60 + "long\nTraceback (most recent call)",
        ),
    ]
    actions.redrive(make_letter().pk, by=ada, reason="the model is back")
    actions.discard(make_letter().pk, by=ada, reason="a test of the shop's")
    return letters


@pytest.mark.parametrize(
    ("role", "queries"),
    [("auditor", ["?state=all"]), ("lead", ["?state=all", "?since=x"])],
)
def test_everyone_can_use_the_list(
    live_server: LiveServer, client: Client, role: str, queries: list[str]
) -> None:
    scene()
    client.force_login(make_user("somebody", role))

    for query in queries:
        assert faults(live_server.url, client, f"/dlq/{query}") == []


def test_everyone_can_read_a_letter(live_server: LiveServer, client: Client) -> None:
    _, unreadable, hiding = scene()
    client.force_login(make_user("lena", "lead"))

    for letter in (unreadable, hiding, Letter.objects.get(state="redriven")):
        path = reverse("deadletters:letter", args=[letter.pk])
        assert faults(live_server.url, client, path) == []


def test_everyone_can_read_a_job(live_server: LiveServer, client: Client) -> None:
    letters = scene()
    client.force_login(make_user("lena", "lead"))
    job = Job.objects.create(
        verb="redrive", reason="mended", started_by=make_user("ben", "admin")
    )
    for letter, result in zip(letters, ("done", "refused", ""), strict=True):
        note = "posts is no topic that records are sent to." if result else ""
        JobItem.objects.create(job=job, letter=letter, result=result, note=note)

    path = reverse("deadletters:job", args=[job.pk])

    assert faults(live_server.url, client, path) == []


def test_the_keyboard_chooses_letters_and_the_page_tells_their_progress(
    live_server: LiveServer, client: Client
) -> None:
    scene()
    client.force_login(make_user("lena", "lead"))

    def watch(browser: Browser) -> None:
        page = open_page(browser, live_server.url, client)
        page.goto("/dlq/")
        page.get_by_label("Letter 3@100").focus()
        page.keyboard.press("Space")
        page.get_by_role("button", name="Redrive").focus()
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", name="Redriving 1 letter")).to_be_visible()
        expect(page.get_by_text("0 of 1 gone through")).to_be_visible()
        in_database(bulk.run_jobs)
        expect(page.get_by_text("1 of 1 gone through")).to_be_visible()
        expect(page.get_by_text("finished")).to_be_visible()

    in_chromium(watch)


def test_a_refusal_stands_where_the_reason_is_typed(
    live_server: LiveServer, client: Client
) -> None:
    [letter, *_] = scene()
    client.force_login(make_user("lena", "lead"))
    path = reverse("deadletters:letter", args=[letter.pk])

    def watch(browser: Browser) -> None:
        page = open_page(browser, live_server.url, client)
        page.goto(path)
        page.get_by_role("button", name="Discard").click()
        expect(page.get_by_text("Say why it can be discarded.")).to_be_visible()
        page.get_by_label("Reason").fill("an old test")
        page.get_by_role("button", name="Discard").click()
        expect(page.get_by_text("lena has discarded it")).to_be_visible()
        expect(page).to_have_url(f"{live_server.url}{path}")

    in_chromium(watch)


def test_it_all_works_without_javascript(
    live_server: LiveServer, client: Client
) -> None:
    [letter, *_] = scene()
    client.force_login(make_user("lena", "lead"))
    path = reverse("deadletters:letter", args=[letter.pk])

    def watch(browser: Browser) -> None:
        page = open_page(browser, live_server.url, client, java_script_enabled=False)
        page.goto("/dlq/")
        page.get_by_label("Reason holds").fill("array")
        page.get_by_role("button", name="Filter").click()
        page.get_by_role("link", name="Expected `object`").click()
        page.get_by_role("button", name="Redrive").click()
        expect(page.get_by_text("lena has redriven it")).to_be_visible()
        expect(page).to_have_url(f"{live_server.url}{path}")
        page.goto("/dlq/")
        page.get_by_label("all 2 open ones that match").check()
        page.get_by_placeholder("Reason").fill("noise")
        page.get_by_role("button", name="Discard").click()
        page.get_by_role("button", name="Cancel the rest").click()
        expect(page.get_by_text("2 left alone")).to_be_visible()

    in_chromium(watch)
