"""In two browsers: a customer waits, a moderator edits and approves, the customer reads it."""

import hashlib
import re
from collections.abc import Iterator
from uuid import uuid4

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.browser import CHROMIUM, FLAGS
from tests.e2e.product import Product
from tests.waiting import wait_for

DRAFT = "We can take 25 % off the E-Class if you sign today."
EDITED = "We can take 5 % off the E-Class if you sign today."


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


def open_as_customer(product: Product, browser: Browser) -> Page:
    page = browser.new_context().new_page()
    page.goto(f"{product.base_url}/demo/?tier=free")
    page.get_by_role("button", name=re.compile("Chat")).click()
    return page


def open_as_moderator(product: Product, browser: Browser, name: str = "mira") -> Page:
    page = browser.new_context().new_page()
    page.goto(f"{product.base_url}/queue/")
    page.get_by_label("User name").fill(name)
    page.get_by_label("Password").fill(product.password)
    page.get_by_role("button", name="Sign in").click()
    expect(page.locator(".person")).to_contain_text(name)
    return page


def ask(page: Page, text: str) -> None:
    page.get_by_label("Your message").fill(text)
    page.keyboard.press("Enter")


def test_an_edited_reply_reaches_the_customer_who_was_told_to_wait(
    product: Product, browser: Browser
) -> None:
    expect.set_options(timeout=15_000)
    marker = uuid4().hex
    product.script(match=marker, reply=DRAFT)
    customer = open_as_customer(product, browser)
    moderator = open_as_moderator(product, browser)

    question = f"What is your best offer? {marker}"
    ask(customer, question)
    log = customer.get_by_role("log")
    expect(log).to_contain_text("A colleague is checking this answer")
    approval = wait_for(
        lambda: product.sql(
            "SELECT a.id::text, a.team FROM moderation_approval a "
            "JOIN chat_turn t ON t.id = a.turn_id WHERE t.text = %s",
            question,
        )
    )
    assert approval[0][1] == "discount"
    moderator.goto(f"{product.base_url}/queue/{approval[0][0]}/")
    expect(moderator.locator("#item mark")).to_contain_text("25 %")
    moderator.keyboard.press("e")
    moderator.get_by_label("What the customer gets instead").fill(EDITED)
    moderator.keyboard.press("Control+Enter")

    expect(log).to_contain_text(EDITED)
    expect(log).to_contain_text("Reviewed by a colleague")
    expect(log).to_contain_text(question)
    expect(log).not_to_contain_text("25 %")
    expect(moderator.locator("body")).to_contain_text("mira")
    delivered = product.sql(
        "SELECT m.text, d.text_sha256, d.verdict FROM chat_message m "
        "JOIN chat_turn t ON t.id = m.turn_id JOIN moderation_approval a ON a.turn_id = t.id "
        "JOIN moderation_decision d ON d.approval_id = a.id "
        "WHERE t.text = %s AND m.role = 'assistant' AND m.reviewed",
        question,
    )
    assert delivered == [(EDITED, hashlib.sha256(EDITED.encode()).hexdigest(), "edit")]
    trace = product.sql("SELECT trace_id FROM chat_turn WHERE text = %s", question)[0][
        0
    ]
    wait_for(lambda: "agent.responses.approved" in product.topics_of(trace))
    assert "discount.queries.pending_approval" in product.topics_of(trace)
    moderator.goto(f"{product.base_url}/traces/{trace}/")
    expect(moderator.locator("main")).to_contain_text("agent.responses.approved")
    expect(moderator.locator("main")).to_contain_text("mira")


def test_who_asks_for_a_person_is_answered_by_one_and_rates_the_answer(
    product: Product, browser: Browser
) -> None:
    expect.set_options(timeout=15_000)
    customer = open_as_customer(product, browser)
    moderator = open_as_moderator(product, browser)

    question = f"My car does not start {uuid4().hex}"
    customer.get_by_label("Your message").fill(question)
    customer.get_by_role("button", name="Talk to a person").click()
    log = customer.get_by_role("log")
    expect(log).to_contain_text("Waiting for a person")
    [[approval, team, trace]] = product.sql(
        "SELECT a.id::text, a.team, t.trace_id FROM moderation_approval a "
        "JOIN chat_turn t ON t.id = a.turn_id WHERE t.text = %s",
        question,
    )
    moderator.goto(f"{product.base_url}/queue/{approval}/")
    item = moderator.locator("#item")
    expect(item).to_contain_text("The customer asked for a person")
    expect(item).to_contain_text(question)
    moderator.keyboard.press("e")
    moderator.get_by_label("What the customer gets instead").fill("We come at two.")
    moderator.keyboard.press("Control+Enter")
    expect(log).to_contain_text("We come at two.")
    expect(log).to_contain_text("Reviewed by a colleague")
    customer.get_by_role("button", name="Helpful", exact=True).last.click()

    wait_for(lambda: "training.feedback" in product.topics_of(trace))
    assert team == "general"
    assert product.asked(question) == []
    moderator.goto(f"{product.base_url}/traces/{trace}/")
    expect(moderator.locator("#story")).to_contain_text("thumb up")


def test_a_second_tab_and_a_reload_show_the_same(
    product: Product, browser: Browser
) -> None:
    expect.set_options(timeout=15_000)
    customer = open_as_customer(product, browser)
    ask(customer, "When are you open on Saturday?")
    log = customer.get_by_role("log")
    expect(log).to_contain_text("Saturday")
    expect(log.get_by_text("9", exact=False).first).to_be_visible()

    other = customer.context.new_page()
    other.goto(f"{product.base_url}/demo/?tier=free")
    other.get_by_role("button", name=re.compile("Chat")).click()
    expect(other.get_by_role("log")).to_contain_text("When are you open on Saturday?")
    customer.reload()
    customer.get_by_role("button", name=re.compile("^Chat")).click()
    expect(customer.get_by_role("log")).to_contain_text(
        "When are you open on Saturday?"
    )


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1440])
def test_axe_finds_nothing_on_the_demo_page(
    product: Product, browser: Browser, width: int, scheme: str
) -> None:
    page = browser.new_context(
        viewport={"width": width, "height": 800},
        color_scheme=scheme,  # type: ignore[arg-type]
    ).new_page()
    page.goto(f"{product.base_url}/demo/")
    expect(page.get_by_role("button", name=re.compile("^Chat"))).to_be_visible()

    found = Axe().run(page)

    assert found.violations_count == 0, found.generate_report()
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
