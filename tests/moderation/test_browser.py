"""The queue in Chromium, over the whole site with its sockets: keys, live changes, what is kept."""

import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from importlib import import_module
from typing import TypeVar

import pytest
from asgiref.sync import async_to_sync
from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.auth.models import User
from django.db import connection
from django.utils import timezone
from playwright.sync_api import (
    Browser,
    BrowserContext,
    Page,
    Route,
    expect,
    sync_playwright,
)

from controlplane.accounts.models import Team
from controlplane.chat import live as chat_live
from moderation import actions, live
from moderation.models import Approval, Decision
from tests.browser import CHROMIUM, FLAGS, faults_of
from tests.factories import make_approval, make_moderator, make_turn
from tests.moderation.rows import EDITED, publish_rules
from tests.moderation.site import running_site
from tests.owner import connect_as_owner

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(scope="module")
def site(django_db_setup: None) -> Iterator[str]:
    with running_site() as root:
        yield root


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Playwright's synchronous API runs a loop in this thread, which Django would take for async code."""
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()
    del os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]


@pytest.fixture
def open_page(
    transactional_db: None, browser: Browser, site: str
) -> Iterator[Callable[..., Page]]:
    """Open the queue as somebody. A script error fails the test."""
    expect.set_options(timeout=8000)
    contexts: list[BrowserContext] = []
    wrong: list[str] = []

    def go(user: User, path: str = "/queue/", **options: object) -> Page:
        context = browser.new_context(**options)  # type: ignore[arg-type]
        contexts.append(context)
        context.add_cookies(
            [{"name": "sessionid", "value": sign_in(user), "url": site}]
        )
        page = context.new_page()
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.goto(f"{site}{path}")
        return page

    yield go
    for context in contexts:
        context.close()
    assert wrong == []


def sign_in(user: User) -> str:
    session = import_module(settings.SESSION_ENGINE).SessionStore()
    session[SESSION_KEY] = str(user.pk)
    session[BACKEND_SESSION_KEY] = settings.AUTHENTICATION_BACKENDS[0]
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session.create()
    key: str = session.session_key
    return key


@pytest.fixture
def mira(transactional_db: None) -> User:
    publish_rules()
    Team.objects.get_or_create(slug="discount", defaults={"name": "Discounts"})
    return make_moderator()


T = TypeVar("T")


def elsewhere(act: Callable[[], T]) -> T:
    """Act as another process would: in this thread runs the loop of Playwright, and pushes need one."""

    def and_let_go() -> T:
        try:
            return act()
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(and_let_go).result()


def held(text: str, *, minutes: int = 15) -> Approval:
    """An answer that waits, and whose arrival open pages hear of."""
    approval = make_approval(
        text=text, deadline_at=timezone.now() + timedelta(minutes=minutes)
    )
    elsewhere(live.queue_changed)
    return approval


def decide_as(moderator: User, approval: Approval) -> None:
    fresh = Approval.objects.with_conversation().get(pk=approval.pk)
    approve = partial(
        actions.decide,
        fresh.pk,
        verdict=Decision.Verdict.APPROVE,
        text="",
        reason="",
        fingerprint=fresh.fingerprint,
        moderator=moderator,
    )
    elsewhere(approve)


def draft(page: Page, text: str) -> None:
    expect(page.locator(".draft .text")).to_have_text(text)


def is_live(page: Page) -> None:
    """Wait until the socket has brought what it brings on connecting."""
    expect(page.locator("#desk[data-live]")).to_be_attached()


def test_keys_decide_and_the_next_one_opens(
    open_page: Callable[..., Page], mira: User
) -> None:
    first, second = held("25 % off, first", minutes=2), held("25 % off, second")
    page = open_page(mira)

    page.keyboard.press("j")
    draft(page, "25 % off, first")
    page.wait_for_timeout(700)  # what has just appeared bears no key at once
    page.keyboard.press("a")

    draft(page, "25 % off, second")
    expect(page.get_by_text("Approved. The answer is on its way")).to_be_visible()
    assert page.url.endswith(f"/queue/{second.pk}/")
    assert Decision.objects.get().approval_id == first.pk


def test_an_answer_that_arrives_appears_by_itself(
    open_page: Callable[..., Page], mira: User
) -> None:
    page = open_page(mira)
    expect(page.get_by_text("You're all caught up")).to_be_visible()
    is_live(page)

    approval = held("I can give you 25 % off today.")

    expect(page.locator(f"#row-{approval.pk}")).to_contain_text("25 % off")
    expect(page.locator("#queue-teams")).to_contain_text("Discounts 1")
    expect(page.locator("#item")).to_contain_text("1 answer waits for a person")
    expect(page.get_by_text("You're all caught up")).to_be_hidden()


def test_who_is_caught_up_is_told_of_the_next_one(
    open_page: Callable[..., Page], mira: User
) -> None:
    approval = held("I can give you 25 % off today.")
    page = open_page(mira, f"/queue/{approval.pk}/")
    is_live(page)
    page.keyboard.press("a")
    expect(page.locator(".caught")).to_have_text("You're all caught up")

    held("Another 25 % off")

    page.get_by_role("link", name="Open the next").click()
    draft(page, "Another 25 % off")


def test_nothing_moves_under_the_pointer(
    open_page: Callable[..., Page], mira: User
) -> None:
    first = held("First: 25 % off")
    page = open_page(mira)
    is_live(page)
    page.locator(f"#row-{first.pk}").hover()

    urgent = held("Urgent: 25 % off", minutes=1)

    expect(page.locator("#queue-count")).to_contain_text("2")
    page.get_by_role("link", name="The queue has changed. Show it").click()
    expect(page.locator("#queue-list a").first).to_have_id(f"row-{urgent.pk}")
    expect(page.locator("#queue-changed")).to_be_hidden()


def test_opening_an_answer_is_no_change_of_the_queue(
    open_page: Callable[..., Page], mira: User
) -> None:
    first = held("First: 25 % off")
    page = open_page(mira)
    is_live(page)

    page.evaluate("delete document.getElementById('desk').dataset.live")
    page.locator(f"#row-{first.pk}").click()

    draft(page, "First: 25 % off")
    is_live(page)  # the socket of the opened answer
    expect(page.locator("#queue-changed")).to_be_hidden()


def test_what_is_typed_outlives_what_arrives(
    open_page: Callable[..., Page], mira: User
) -> None:
    approval = held("I can give you 25 % off today.")
    page = open_page(mira, f"/queue/{approval.pk}/")
    is_live(page)
    page.keyboard.press("e")
    text = page.get_by_label("What the customer gets instead")
    expect(text).to_be_focused()
    text.fill(EDITED)

    other = held("Another 25 % off")
    turn = approval.turn.conversation
    make_turn(turn, text="Hello, a?")
    elsewhere(partial(async_to_sync(chat_live.wake_conversations), [turn.pk]))

    expect(page.locator(f"#row-{other.pk}")).to_be_visible()
    expect(page.get_by_text("The customer has written since")).to_be_visible()
    expect(text).to_have_value(EDITED)
    expect(text).to_be_focused()
    expect(page.get_by_text("2 characters taken out, 1 put in")).to_be_visible()


def test_an_edit_after_a_newer_message_passes_the_second_time(
    open_page: Callable[..., Page], mira: User
) -> None:
    approval = held("I can give you 25 % off today.")
    page = open_page(mira, f"/queue/{approval.pk}/")
    page.keyboard.press("e")
    page.get_by_label("What the customer gets instead").fill(EDITED)
    make_turn(approval.turn.conversation, text="Hello?")

    page.keyboard.press("Control+Enter")
    expect(
        page.get_by_text("The customer has written since you opened")
    ).to_be_visible()
    expect(page.get_by_text("Hello?")).to_have_count(3)
    expect(page.get_by_text("since this was drafted")).to_be_hidden()
    assert not Decision.objects.exists()
    expect(page.get_by_label("What the customer gets instead")).to_have_value(EDITED)
    page.wait_for_timeout(700)
    page.keyboard.press("Control+Enter")

    expect(page.get_by_text("Edited and approved by mira")).to_be_visible()
    assert Decision.objects.get().text == EDITED


def test_the_loser_is_told_at_once_and_keeps_the_text(
    open_page: Callable[..., Page], mira: User
) -> None:
    approval, other = held("I can give you 25 % off today."), held("25 % off, too")
    page = open_page(mira, f"/queue/{approval.pk}/")
    is_live(page)
    page.keyboard.press("e")
    page.get_by_label("What the customer gets instead").fill(EDITED)

    decide_as(make_moderator("jonas"), approval)

    expect(page.locator(".notice")).to_contain_text("jonas approved this at")
    page.keyboard.press("Control+Enter")
    expect(page.get_by_role("alert").filter(has_text="not taken")).to_contain_text(
        "jonas"
    )
    expect(page.get_by_label("You had written")).to_have_value(EDITED)
    page.get_by_role("link", name="Open the next").click()
    draft(page, "25 % off, too")
    assert page.url.endswith(f"{other.pk}/")


def test_a_rejection_by_keys_alone(open_page: Callable[..., Page], mira: User) -> None:
    approval = held("I can give you 25 % off today.")
    page = open_page(mira, f"/queue/{approval.pk}/")

    page.keyboard.press("r")
    page.keyboard.press("2")
    page.keyboard.press("Control+Enter")

    expect(page.get_by_text("Rejected by mira")).to_be_visible()
    decision = Decision.objects.get()
    assert (decision.verdict, decision.reason) == ("reject", "Its facts are wrong")
    assert decision.text == actions.SAFE_TEXT


def test_letters_that_are_typed_are_no_keys(
    open_page: Callable[..., Page], mira: User
) -> None:
    approval = held("I can give you 25 % off today.")
    page = open_page(mira, f"/queue/{approval.pk}/")
    page.keyboard.press("e")
    page.keyboard.type(" area jk?")
    page.keyboard.press("Escape")
    page.keyboard.press("Control+a")
    page.keyboard.press("Alt+r")

    expect(page.get_by_role("radio", name="As drafted")).to_be_checked()
    expect(page.locator("#keys")).to_be_hidden()
    assert not Decision.objects.exists()
    page.keyboard.press("?")
    expect(page.locator("#keys")).to_be_visible()
    page.keyboard.press("a")
    assert not Decision.objects.exists()


def test_a_double_click_does_not_approve_the_next_one(
    open_page: Callable[..., Page], mira: User
) -> None:
    approval, other = held("25 % off, one", minutes=1), held("25 % off, two")
    page = open_page(mira, f"/queue/{approval.pk}/")
    button = page.get_by_role("button", name="Approve and send")

    button.click()
    draft(page, "25 % off, two")
    button.click()

    page.wait_for_timeout(300)
    draft(page, "25 % off, two")
    assert Decision.objects.get().approval_id == approval.pk
    assert Approval.objects.get(pk=other.pk).is_pending


def test_a_refusal_says_so_and_keeps_the_form(
    open_page: Callable[..., Page], mira: User
) -> None:
    approval = held("I can give you 25 % off today.")
    page = open_page(mira, f"/queue/{approval.pk}/")
    page.keyboard.press("e")
    page.get_by_label("What the customer gets instead").fill("30 % off")
    page.keyboard.press("Control+Enter")
    expect(page.get_by_text("A rule holds this text: Discount")).to_be_visible()
    mira.groups.clear()

    page.get_by_label("What the customer gets instead").fill(EDITED)
    page.wait_for_timeout(700)
    page.keyboard.press("Control+Enter")

    expect(page.get_by_text("The server refused this, and nothing")).to_be_visible()
    expect(page.get_by_label("What the customer gets instead")).to_have_value(EDITED)


def test_no_answer_is_no_success(open_page: Callable[..., Page], mira: User) -> None:
    approval = held("I can give you 25 % off today.")
    page = open_page(mira, f"/queue/{approval.pk}/")
    is_live(page)
    page.route("**/queue/*/", lambda route: route.abort())

    page.keyboard.press("a")

    expect(page.get_by_text("No answer came. Whether it was taken")).to_be_visible()
    page.unroute("**/queue/*/")
    page.keyboard.press("a")
    expect(page.get_by_text("Approved by mira")).to_be_visible()


def test_going_back_shows_the_answer_before(
    open_page: Callable[..., Page], mira: User
) -> None:
    first = held("25 % off, one", minutes=1)
    held("25 % off, two")
    page = open_page(mira)
    page.keyboard.press("j")
    draft(page, "25 % off, one")
    page.keyboard.press("j")
    draft(page, "25 % off, two")
    page.keyboard.press("k")
    draft(page, "25 % off, one")

    page.go_back()
    draft(page, "25 % off, two")
    page.go_back()
    draft(page, "25 % off, one")
    assert page.url.endswith(f"{first.pk}/")
    expect(page.locator("header .top")).to_have_count(1)


def test_it_works_without_scripts(open_page: Callable[..., Page], mira: User) -> None:
    approval = held("I can give you 25 % off today.")
    page = open_page(mira, java_script_enabled=False)

    page.get_by_role("link", name="Open the most urgent").click()
    page.locator(".modes label", has_text="Reject").click()
    page.get_by_label("Its tone is not ours").check()
    page.get_by_role("button", name="Reject, send safe text").click()

    expect(page.get_by_text("Rejected by mira")).to_be_visible()
    assert Decision.objects.get().approval_id == approval.pk


@pytest.mark.parametrize("late", ["**/hx-ws-*.js", "**/queue.js"])
def test_the_page_is_live_although_a_script_comes_late(
    open_page: Callable[..., Page], mira: User, late: str
) -> None:
    page = open_page(mira)

    def delay(route: Route) -> None:
        time.sleep(0.5)
        route.continue_()

    page.route(late, delay)
    page.reload()

    is_live(page)


def test_a_page_that_could_not_be_drawn_connects_again(
    open_page: Callable[..., Page], mira: User
) -> None:
    page = open_page(mira)
    is_live(page)
    with page.expect_websocket() as broken:
        page.reload()
    is_live(page)

    with page.expect_websocket() as again, connect_as_owner() as owner:
        owner.execute("ALTER TABLE moderation_approval RENAME TO out_of_sight")
        try:
            elsewhere(live.queue_changed)
            broken.value.wait_for_event("close", lambda _: True)
        finally:
            owner.execute("ALTER TABLE out_of_sight RENAME TO moderation_approval")

    assert broken.value.is_closed()
    assert not again.value.is_closed()
    held("I can give you 25 % off today.")
    expect(page.locator("#item")).to_contain_text("1 answer waits for a person")


def test_a_deadline_counts_down_and_passes(
    open_page: Callable[..., Page], mira: User
) -> None:
    now = timezone.now()
    make_approval(
        created_at=now - timedelta(minutes=5), deadline_at=now + timedelta(seconds=4)
    )
    page = open_page(mira)

    expect(page.locator(".due").first).to_have_class("due near")
    expect(page.locator(".due").first).to_contain_text("past its deadline")
    expect(page.locator(".due").first).to_have_class("due past")


def test_the_pages_keep_the_rules_of_accessibility_and_fit(
    open_page: Callable[..., Page], mira: User
) -> None:
    turn = make_turn(text="Wo\u200brd" * 60)
    approval = make_approval(turn, text="I can give you 25 % off today. " + "W" * 300)
    make_turn(turn.conversation, text="Hello?")
    done, empty = make_approval(), "/queue/?team=legal"
    decide_as(make_moderator("jonas"), done)
    held("Another 25 % off", minutes=-1)
    page = open_page(mira, reduced_motion="reduce")

    for path, key in [
        ("/queue/", ""),
        (empty, ""),
        (f"/queue/{approval.pk}/", ""),
        (f"/queue/{approval.pk}/", "e"),
        (f"/queue/{approval.pk}/", "r"),
        (f"/queue/{done.pk}/", ""),
        (f"/queue/{done.pk}/", "?"),
    ]:
        page.goto(page.url.split("/queue/")[0] + path)
        if key:
            page.keyboard.press(key)
        assert faults_of(page) == [], (path, key)
