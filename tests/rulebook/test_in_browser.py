"""The rules in Chromium: one is written, seen to hit, fails its cases, is mended, published and rolled back."""

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone
from playwright.sync_api import Browser, FilePayload, Page, expect
from pytest_django.live_server_helper import LiveServer

from guardrails.models import Publication, Rule
from tests.browser import broken_of, faults_of, in_chromium, in_database, open_page
from tests.factories import make_admin, make_answer, make_turn, sign_in_now
from tests.guardrails.factories import make_threshold
from tests.home.making import make_heartbeat
from tests.rulebook.making import BRANDS, publish
from tests.traces_pages.making import make_record

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_rule_is_written_tried_mended_published_and_rolled_back(
    live_server: LiveServer, client: Client
) -> None:
    sign_in_now(client, make_admin())
    first = publish(BRANDS, make_threshold(must_hit=("10 % off",)), reason="the first")
    make_heartbeat(ruleset_hash=first.rule_set_id, age_s=-3_600)
    make_answer(make_turn(), text="The Taycan is a Porsche.")

    def look(browser: Browser) -> list[str]:
        page = open_page(browser, live_server.url, client, reduced_motion="reduce")
        broken = broken_of(page)
        page.goto("/rules/")
        found = faults_of(page)
        _count(page)
        found += _write(page)
        found += _publish(page)
        found += _roll_back(page)
        return found + broken

    assert in_chromium(look) == []
    rule = Rule.objects.get(slug="other-makes")
    assert (rule.terms, rule.version) == (["porsche"], 2)
    hashes = [each.rule_set_id for each in Publication.objects.latest_first()]
    assert hashes[0] == hashes[2] == first.rule_set_id


def _count(page: Page) -> None:
    """What a rule hits is counted while the page is looked at."""
    row = page.get_by_role("row", name="Brands")
    expect(row.locator('[data-says="hit in 24 h"]')).to_have_text("0")
    lately = timezone.now() - timedelta(hours=1)
    in_database(
        lambda: make_record(
            "a" * 32, "user.messages.cleaned", rules=["brands"], at=lately
        )
    )
    expect(row.locator('[data-says="hit in 24 h"]')).to_have_text("1", timeout=10_000)


def _write(page: Page) -> list[str]:
    """By keyboard, from the list to a rule that is saved with a case that it cannot fulfil."""
    page.keyboard.press("n")
    page.get_by_role("link", name="Terms").focus()
    page.keyboard.press("Enter")
    page.get_by_label("Id").fill("other-makes")
    page.get_by_label("Name").fill("Other makes")
    page.get_by_text("Enforce", exact=True).click()
    page.get_by_label("Then").select_option("replace")
    page.get_by_label("Must hit, text 1").fill("A Porsche,\nthat is")
    page.get_by_label("Must hit, text 2").fill("A Lada")
    page.get_by_label("Must hit, text 3").fill("")
    page.get_by_label("A text").fill("The Porsche is faster.")
    page.get_by_label("Terms", exact=True).press_sequentially("porsche")
    expect(page.locator("#tried")).to_contain_text("Text for the user: The rule needs")
    page.get_by_label("Text for the user").fill("Ours.")
    expect(page.locator("#tried mark")).to_have_text("Porsche")
    found = faults_of(page)
    page.get_by_text("Take a recorded message").click()
    page.get_by_role("button", name="The Taycan is a Porsche.").click()
    expect(page.get_by_label("A text")).to_have_value("The Taycan is a Porsche.")
    page.get_by_label("Name").focus()
    page.keyboard.press("Control+Enter")
    expect(page.get_by_text("1 not as expected")).to_be_visible()
    return found + faults_of(page)


def _publish(page: Page) -> list[str]:
    page.goto("/rules/")
    page.keyboard.press("p")
    page.get_by_label("Why?").fill("other makes are not ours")
    page.get_by_role("button", name="Publish").click()
    expect(page.get_by_text("“A Lada” must hit").first).to_be_visible()
    found = faults_of(page)
    page.goto("/rules/rule/other-makes/")
    expect(page.get_by_label("Must hit, text 1")).to_have_value("A Porsche,\nthat is")
    page.get_by_label("Must hit, text 2").fill("")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("1 as expected, alone and with all rules")).to_be_visible()
    page.goto("/rules/review/")
    page.get_by_label("Why?").fill("other makes are not ours")
    page.get_by_role("button", name="Publish").click()
    expect(page.locator("#published")).to_contain_text("obeyed by 0 of 1 worker")
    return found + faults_of(page)


def _roll_back(page: Page) -> list[str]:
    page.get_by_role("link", name="All publications").click()
    found = faults_of(page)
    page.get_by_role("listitem").filter(has_text="the first").get_by_role(
        "link"
    ).click()
    page.get_by_label("Why?").fill("too many were right")
    found += faults_of(page)
    page.get_by_role("button", name="Roll back to it").click()
    expect(page.locator("#published")).to_contain_text("obeyed by 1 of 1 worker")
    page.goto("/rules/import/")
    file = FilePayload(
        name="x.csv", mimeType="text/csv", buffer="id,name\nA,ä".encode()
    )
    page.get_by_label("Out of a file").set_input_files(file)
    expect(page.get_by_label("Rules, as JSON or CSV")).to_have_value("id,name\nA,ä")
    page.get_by_role("button", name="See what it changes").click()
    expect(page.get_by_text("Line 2:")).to_be_visible()
    found += faults_of(page)
    good = "id,name,direction,kind,action,terms\nladas,Ladas,output,terms,tag,lada\n"
    page.get_by_label("Rules, as JSON or CSV").fill(good)
    page.keyboard.press("Control+Enter")
    expect(page.get_by_role("heading", name="Ladas")).to_be_visible()
    found += faults_of(page)
    page.get_by_role("button", name="Put them into the draft").click()
    expect(page.get_by_text("1 changed")).to_be_visible()
    return found + faults_of(page)
