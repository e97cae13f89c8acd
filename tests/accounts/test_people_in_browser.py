"""People and tokens in Chromium, over the whole site: enrolled, at work, demoted; made, used, revoked."""

from collections.abc import Iterator
from io import StringIO
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from django.core.management import call_command
from django.test import Client
from django.urls import reverse
from playwright.sync_api import Browser, Page, expect
from pytest_django.live_server_helper import LiveServer

from controlplane.accounts import actions, people
from controlplane.accounts.models import ApiToken, Team
from controlplane.runtime.models import ControlVersion
from tests.browser import faults, faults_of, in_chromium
from tests.factories import TEAMS, make_approval, make_moderator, make_user, sign_in_now
from tests.moderation.site import running_site

pytestmark = pytest.mark.django_db(transaction=True)
PASSWORD = "a horse that is correct"


@pytest.fixture
def site(transactional_db: None) -> Iterator[str]:
    ControlVersion.objects.get_or_create(pk=1)
    with running_site() as root:
        yield root


def first_link(site: str) -> str:
    out = StringIO()
    call_command(
        "enrol", "ada", "--role", "admin", "--site", site, stdout=out, stderr=StringIO()
    )
    return out.getvalue().strip()


def join(page: Page, link: str, name: str) -> list[str]:
    """Follow a link, choose a password, sign in."""
    page.goto(link)
    expect(page.get_by_label("You sign in as")).to_have_value(name)
    assert "#" not in page.url
    found = faults_of(page)
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_label("The same again").fill(PASSWORD)
    page.get_by_role("button", name="Use this password").click()
    page.get_by_label("User name").fill(name)
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("navigation", name="Places")).to_be_visible()
    return found


def enrol_nina(page: Page, site: str) -> str:
    page.goto(f"{site}/accounts/")
    page.get_by_role("link", name="Add a person").click()
    page.get_by_label("User name").fill("nina")
    page.get_by_role("radio", name="moderator").check()
    page.get_by_role("checkbox", name="Discounts").check()
    page.get_by_role("button", name="Add, and make the link").click()
    return page.get_by_role("textbox", name="The link").input_value()


def status_of(site: str, token: str) -> int:
    asking = Request(  # noqa: S310
        f"{site}/api/runtime", headers={"Authorization": f"Bearer {token}"}
    )
    try:
        with urlopen(asking, timeout=10) as answer:  # noqa: S310
            return int(answer.status)
    except HTTPError as error:
        return error.code


def test_a_colleague_is_enrolled_works_and_is_demoted_and_a_token_lives_and_ends(
    site: str,
) -> None:
    for slug, name in TEAMS.items():
        Team.objects.get_or_create(slug=slug, defaults={"name": name})
    make_approval(team="discount")
    link = first_link(site)
    found: list[str] = []

    def scene(browser: Browser) -> None:
        ada, nina = (browser.new_context().new_page() for _ in range(2))
        found.extend(join(ada, link, "ada"))
        given = enrol_nina(ada, site)
        found.extend(faults_of(ada))
        join(nina, given, "nina")
        demote_at_work(ada, nina, site)
        found.extend(live_and_end(ada, site))
        ada.goto(given)
        expect(ada.get_by_role("heading")).to_have_text("This link does not work")
        found.extend(faults_of(ada))

    in_chromium(scene)
    assert "\n".join(found) == ""


def demote_at_work(ada: Page, nina: Page, site: str) -> None:
    """Nina's queue is open and live; its socket closes when the role goes."""
    with nina.expect_websocket() as opened:
        nina.goto(f"{site}/queue/")
    expect(nina.locator("#desk[data-live]")).to_be_visible()
    ada.get_by_role("link", name="To nina").click()
    ada.get_by_role("radio", name="none").check()
    with opened.value.expect_event("close", timeout=10_000):
        ada.get_by_role("button", name="Change the role").click()
    expect(ada.get_by_role("status")).to_have_text("No role any more.")
    nina.reload()
    expect(nina.get_by_role("heading")).to_have_text(
        "Your role does not include this page"
    )


def live_and_end(ada: Page, site: str) -> list[str]:
    """A token is made by the page, the API answers to it, and it is revoked by keyboard."""
    ada.goto(f"{site}/accounts/tokens/")
    ada.get_by_label("What it is for").fill("a dashboard")
    ada.get_by_role("checkbox", name="runtime:read").check()
    ada.get_by_role("button", name="Make the token").click()
    token = ada.get_by_role("textbox", name="The token").input_value()
    ada.get_by_role("button", name="Copy").click()
    expect(ada.get_by_role("status")).not_to_be_empty()
    found = faults_of(ada)
    assert status_of(site, token) == 200
    ada.get_by_role("link", name="All tokens").click()
    ada.get_by_role("button", name="Revoke a dashboard").press("Enter")
    found += faults_of(ada)
    ada.get_by_role("button", name="Revoke it").press("Enter")
    expect(ada.get_by_role("status").filter(has_text="Revoked.")).to_be_visible()
    assert status_of(site, token) == 401
    return found


def test_everyone_can_use_the_pages(live_server: LiveServer, client: Client) -> None:
    sign_in_now(client, make_user("ada", "admin"))
    mira = make_moderator()
    people.change_person(mira.pk, name="M" * 150, email="m@b.example", actor="ada")
    make_user("n" * 150, "lead", is_active=False)
    people.add_person("lena", name="", email="", role="", actor="ada")
    scopes = ApiToken.Scope.values
    actions.create_token(mira, scopes=scopes, name="x" * 100, actor=mira)

    paths = (
        reverse("accounts:people"),
        reverse("accounts:add"),
        reverse("accounts:person", args=[mira.pk]),
        reverse("accounts:tokens"),
        reverse("teams:list"),
        reverse("teams:team", args=["legal"]),
    )

    found = [fault for path in paths for fault in faults(live_server.url, client, path)]

    assert "\n".join(found) == ""
