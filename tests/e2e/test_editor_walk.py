"""An administrator in Chromium: a rule from the empty form to what a customer reads, and back."""

import re
from collections.abc import Iterator
from typing import Literal
from uuid import uuid4

import msgspec
import pytest
from playwright.sync_api import Browser, Page, expect

from agents import topics
from agents.events import FinalResponse
from tests.browser import broken_of, faults_of, in_chromium
from tests.e2e.product import Product
from tests.waiting import wait_for

pytestmark = pytest.mark.timeout(240)  # on a machine that does a lot besides

PATIENCE_MS = 15_000  # with workers and scorers
RULE = "snow-foam"
PLAIN = "We wash it with snow foam."
INSTEAD = "Our valet shows you at the desk."
TWO_LINES = "We wash it\nwith snow foam."
BAD_CASE = "Snowfoam does it."
REFUSED = f"Snow foam: “{BAD_CASE}” must hit, but alone and together it came out as allow: nothing hit."
FORGET = "DELETE FROM guardrails_rule WHERE slug = 'snow-foam'"
OPEN = "SELECT 1 FROM chat_outcome WHERE state = 'open' LIMIT 1"
ANSWERS = """
SELECT p.value FROM chat_turn t
JOIN traces_record r ON r.trace_id = t.trace_id
JOIN traces_payload p USING (topic, partition, "offset", at)
WHERE t.text = %s AND r.topic = %s ORDER BY t.number
"""


class Walk:
    """A page, as wide and as light as the person has it; found: what is wrong with it on the way."""

    def __init__(self, product: Product, browser: Browser) -> None:
        context = browser.new_context(
            base_url=product.base_url, reduced_motion="reduce"
        )
        self.page = context.new_page()
        self.found = broken_of(self.page)
        self.go_on(360, "dark")

    def look(self) -> None:
        """Whichever way it is looked at; it goes on as it was."""
        self.found += faults_of(self.page)
        self.go_on(self._width, self._scheme)

    def go_on(self, width: int, scheme: Literal["light", "dark"]) -> None:
        self._width, self._scheme = width, scheme
        self.page.set_viewport_size({"width": width, "height": 900})
        self.page.emulate_media(color_scheme=scheme)


@pytest.fixture
def before(product: Product) -> Iterator[str]:
    """The hash of the rules in force, which are so again at the end."""
    product.forget_scripts()  # the oldest that fits is obeyed
    # Only the latest answers are offered to the editor, and none comes after this one's.
    wait_for(
        lambda: not product.sql(OPEN), timeout_s=60, what="what was asked is answered"
    )
    before = in_force(product)
    beat = product.start_beat()
    yield before
    beat.end()
    product.sql_only(FORGET)
    if in_force(product) != before:
        product.python(
            f"from tests.e2e import publisher; publisher.restore({before!r})"
        )


def in_force(product: Product) -> str:
    return published(product)[0]


def published(product: Product) -> list[str]:
    """Return the hashes of the rule-sets, the latest first."""
    rows = product.sql(
        "SELECT rule_set_id FROM guardrails_publication ORDER BY id DESC"
    )
    return [ruleset_hash for (ruleset_hash,) in rows]


def answers(product: Product, question: str) -> list[FinalResponse]:
    """Return each answer to it as Kafka has it."""
    return [
        msgspec.json.decode(bytes(value), type=FinalResponse)
        for (value,) in product.sql(ANSWERS, question, topics.RESPONSES_FINAL)
    ]


def test_a_rule_is_made_seen_to_hit_refused_mended_backtested_published_at_work_and_rolled_back(
    product: Product, before: str
) -> None:
    question = f"How do you clean the paint? {uuid4().hex}"
    product.script(match=question, reply=PLAIN)

    assert in_chromium(lambda browser: walk_through(product, browser, question)) == []
    wait_for(lambda: len(answers(product, question)) == 3)
    hashes = published(product)
    assert hashes[0] == hashes[2] == before != hashes[1]
    said = answers(product, question)
    assert [each.text for each in said] == [PLAIN, INSTEAD, PLAIN]
    assert [each.verdict.ruleset_hash for each in said] == hashes[2::-1]
    hits = [[hit.rule for hit in each.verdict.findings] for each in said]
    assert hits == [[], [RULE], []]


def walk_through(product: Product, browser: Browser, question: str) -> list[str]:
    """On a telephone in the dark up to the customer who reads it, then wide and light."""
    walk, chat = Walk(product, browser), Walk(product, browser)
    open_chat(chat.page)
    ask(chat.page, "When are you open on Saturday?")
    assert ask(chat.page, question) == PLAIN
    wait_for(lambda: answers(product, question), what="its record")
    sign_in(walk.page, product.password)
    make_it(walk)
    put_in_force(walk)
    assert ask(chat.page, question) == INSTEAD
    chat.look()
    walk.go_on(1440, "light")
    wait_for(lambda: len(answers(product, question)) == 2)
    see_it_counted(walk)
    roll_back(walk)
    assert ask(chat.page, question) == PLAIN
    take_it_out(walk)
    return walk.found + chat.found


def make_it(walk: Walk) -> None:
    write(walk)
    save_with_a_bad_case(walk)
    is_refused(walk)
    mend(walk)


def put_in_force(walk: Walk) -> None:
    backtest(walk)
    publish(walk)


def open_chat(page: Page) -> None:
    page.goto("/demo/?tier=free")
    page.get_by_role("button", name=re.compile("^Chat")).click()


def ask(customer: Page, question: str) -> str:
    """Return what the customer reads next."""
    answers = customer.get_by_role("log").locator(".assistant > .text")
    had = answers.count()
    customer.get_by_label("Your message").fill(question)
    customer.keyboard.press("Enter")
    expect(answers).to_have_count(had + 1, timeout=PATIENCE_MS)
    return answers.nth(had).inner_text()


def sign_in(page: Page, password: str) -> None:
    page.goto("/rules/")
    page.get_by_label("User name").fill("ada")
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="Rules", exact=True)).to_be_visible()
    page.wait_for_load_state()


def write(walk: Walk) -> None:
    """By keyboard, from the list to the empty form, and until it hits what the customer was told."""
    page = walk.page
    page.keyboard.press("n")
    page.get_by_role("link", name="Terms").focus()
    page.keyboard.press("Enter")
    page.get_by_label("Id").fill(RULE)
    page.get_by_label("Name").fill("Snow foam")
    page.get_by_text("Enforce", exact=True).click()
    page.get_by_label("Then").select_option("replace")
    page.get_by_text("Take a recorded message").click()
    page.get_by_role("button", name=PLAIN).first.click()
    expect(page.get_by_label("A text")).to_have_value(PLAIN)
    tried = page.locator("#tried")
    page.get_by_label("Terms", exact=True).press_sequentially("snow foam")
    expect(tried).to_contain_text("Text for the user: The rule needs")
    page.get_by_label("Text for the user").fill(INSTEAD)
    expect(tried.locator("mark")).to_have_text("snow foam")
    expect(tried).to_contain_text("With all rules of the draft: replace")
    walk.look()


def save_with_a_bad_case(walk: Walk) -> None:
    page = walk.page
    page.get_by_label("Must hit, text 1").fill(TWO_LINES)
    page.get_by_label("Must hit, text 2").press_sequentially(BAD_CASE)
    expect(page.get_by_label("Must hit, text")).to_have_count(3)  # one more than used
    page.get_by_label("Must pass, text 1").fill("We wash it by hand.")
    page.keyboard.press("Control+Enter")
    expect(page.get_by_text("1 not as expected")).to_be_visible()
    walk.look()


def is_refused(walk: Walk) -> None:
    page = walk.page
    page.goto("/rules/")
    page.keyboard.press("p")
    page.get_by_label("Why?").fill("nobody is to scratch their paint")
    page.get_by_role("button", name="Publish").click()
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("Nothing is published", timeout=PATIENCE_MS)
    expect(alert.get_by_text(REFUSED)).to_be_visible()
    walk.look()


def mend(walk: Walk) -> None:
    """The case was right; the rule was not."""
    page = walk.page
    page.get_by_role("link", name="Snow foam").click()
    expect(page.get_by_label("Must hit, text 1")).to_have_value(TWO_LINES)
    page.get_by_label("Terms", exact=True).fill("snow foam\nsnowfoam")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("3 as expected, alone and with all rules")).to_be_visible()


def backtest(walk: Walk) -> None:
    """On what this product has recorded."""
    page = walk.page
    page.goto("/rules/")
    page.keyboard.press("b")
    page.get_by_label("or another number").fill("4")
    page.get_by_role("button", name="Start").click()
    finished = page.locator("#backtest .tag").first
    expect(finished).to_have_text("finished", timeout=PATIENCE_MS)
    expect(page.locator("#backtest .moves")).to_have_text("1 allow → replace")
    row = page.get_by_role("row", name="Snow foam")
    expect(row.get_by_role("cell")).to_have_text(["1", "0", "0", "0", "1", "0"])
    walk.look()
    page.get_by_role("link", name="Read the 1 sample").click()
    expect(page.locator(".samples mark")).to_have_text("snow foam")
    walk.look()


def publish(walk: Walk) -> None:
    page = walk.page
    page.goto("/rules/review/")
    tested = page.get_by_role("region", name="Backtest of this draft")
    expect(tested).to_contain_text("end otherwise")
    walk.look()
    page.get_by_label("Why?").fill("nobody is to scratch their paint")
    page.get_by_role("button", name="Publish").click()
    told = page.locator("#published")
    expect(told).to_contain_text("obeyed by 1 of 1 worker after", timeout=PATIENCE_MS)
    walk.look()


def see_it_counted(walk: Walk) -> None:
    page = walk.page
    page.goto("/rules/")
    row = page.get_by_role("row", name="Snow foam")
    expect(row.locator("[data-says='hit in 24 h']")).to_have_text("1")
    walk.look()


def roll_back(walk: Walk) -> None:
    """Axe looks at that page where it is short: in tests/rulebook/test_few_rules_in_browser.py."""
    page = walk.page
    page.get_by_role("link", name="History").click()
    earlier = page.get_by_role("listitem").filter(has=page.locator("code")).nth(1)
    expect(earlier).to_be_visible()
    walk.look()
    earlier.get_by_role("link").click()
    page.get_by_label("Why?").fill("customers may know")
    page.get_by_role("button", name="Roll back to it").click()
    told = page.locator("#published")
    expect(told).to_contain_text("customers may know")
    expect(told).to_contain_text("obeyed by 1 of 1 worker after", timeout=PATIENCE_MS)


def take_it_out(walk: Walk) -> None:
    """What was published is not the draft: that still has the rule."""
    page = walk.page
    page.goto(f"/rules/rule/{RULE}/")
    page.get_by_role("button", name="Take it out of the draft").click()
    expect(page.get_by_role("heading", name="Rules", exact=True)).to_be_visible()
    expect(page.get_by_role("row", name="Snow foam")).to_have_count(0)
