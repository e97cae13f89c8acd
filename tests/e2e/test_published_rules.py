"""What is published reaches each worker in time, whole; who sleeps meanwhile is named and judges nothing on waking."""

from collections.abc import Iterable, Iterator
from functools import cache
from signal import SIGCONT, SIGSTOP
from typing import Any, NamedTuple
from uuid import uuid4

import msgspec
import pytest
from playwright.sync_api import Browser, Page, expect

from agents import topics
from agents.events import CleanedMessage, FinalResponse
from guardrails.context import Context
from guardrails.engine import Engine, compile_rules
from guardrails.rules import decode_rule_set
from guardrails.verdicts import Verdict
from tests.browser import in_chromium
from tests.e2e.outside import Outside, Talk
from tests.e2e.pairs import TEXT
from tests.e2e.person import Person
from tests.e2e.product import Process, Product
from tests.waiting import wait_for

pytestmark = pytest.mark.timeout(180)

OBEYED_WITHIN_S = 2.0
WORKERS = 3
PUBLICATIONS = [10, pytest.param(50, marks=pytest.mark.long)]
READS: dict[str, tuple[type[CleanedMessage] | type[FinalResponse], str]] = {
    topics.USER_CLEANED: (CleanedMessage, "input"),
    topics.RESPONSES_FINAL: (FinalResponse, "output"),
}
JUDGED = """
SELECT r.topic, extract(epoch FROM r.at)::float, r.trace_id, p.value
FROM traces_record r JOIN traces_payload p USING (topic, partition, "offset", at)
WHERE r.topic = ANY(%s) AND r.conversation_id LIKE %s ORDER BY r.at
"""
LATEST = """
SELECT id, rule_set_id, extract(epoch FROM published_at)::float
FROM guardrails_publication ORDER BY id DESC LIMIT 1
"""


class Judged(NamedTuple):
    """A verdict as its record has it."""

    direction: Any
    at_s: float
    trace_id: str
    tier: str
    text: str
    verdict: Verdict


class Publication(NamedTuple):
    id: int
    ruleset_hash: str
    at_s: float


@pytest.fixture(scope="module")
def product(workerless: Product) -> Iterator[Product]:
    """With other rules than the dealer's, which come back at the end."""
    workerless.forget_scripts()  # the oldest that fits is obeyed
    before = latest(workerless).ruleset_hash
    publish_pair(workerless, 1_000)
    yield workerless
    workerless.python(f"from tests.e2e import publisher; publisher.restore({before!r})")


@pytest.fixture(scope="module")
def workers(product: Product) -> list[Process]:
    guards = "input-guard,output-guard"
    return [product.start_worker(agents) for agents in ("all", guards, guards)]


def publish_pair(product: Product, number: int) -> None:
    product.python(
        "from tests.e2e import pairs, publisher; "
        f"publisher.publish(publisher.Rules(pairs.make_pair({number})))"
    )


def latest(product: Product) -> Publication:
    [row] = product.sql(LATEST)
    return Publication(*row)


def judged(product: Product, marker: str) -> list[Judged]:
    """Return every verdict on the marked conversations, as Kafka has it."""
    return [
        _read(topic, at_s, trace_id, bytes(value))
        for topic, at_s, trace_id, value in product.sql(
            JUDGED, list(READS), f"{marker} %"
        )
    ]


def _read(topic: str, at_s: float, trace_id: str, value: bytes) -> Judged:
    contract, direction = READS[topic]
    data = msgspec.json.decode(value, type=contract)
    return Judged(direction, at_s, trace_id, data.tier, data.text, data.verdict)


def wait_for_verdicts(product: Product, marker: str, turns: int) -> list[Judged]:
    found: list[Judged] = []

    def are_there() -> bool:
        found[:] = judged(product, marker)
        return len({(each.direction, each.trace_id) for each in found}) == 2 * turns

    wait_for(are_there, timeout_s=60, what=f"two verdicts on each of {turns} turns")
    return found


def assert_each_is_of_its_set(product: Product, found: Iterable[Judged]) -> None:
    """Each equals what an engine of the rule-set that it names says of that text."""

    @cache
    def engine(ruleset_hash: str) -> Engine:
        [(body,)] = product.sql(
            "SELECT body FROM guardrails_ruleset WHERE hash = %s", ruleset_hash
        )
        return compile_rules(decode_rule_set(bytes(body)))

    for each in found:
        about = Context(
            direction=each.direction,
            tier=each.tier,
            workflow="chat",
            trace_id=each.trace_id,
        )
        wanted = engine(each.verdict.ruleset_hash).check(each.text, about)
        assert wanted.findings, each.text
        assert each.verdict == wanted


def sign_in(product: Product, browser: Browser) -> Page:
    page = browser.new_context(base_url=product.base_url).new_page()
    page.goto("/rules/add/?kind=terms")
    page.get_by_label("User name").fill("ada")
    page.get_by_label("Password").fill(product.password)
    page.get_by_role("button", name="Sign in").click()
    return page


def publish_in_browser(product: Product, browser: Browser) -> str:
    """Write a rule, save and publish it; return what the page says as soon as all obey it."""
    page = sign_in(product, browser)
    page.get_by_label("Id", exact=True).fill("alpha-by-hand")
    page.get_by_label("Name", exact=True).fill("Alpha by hand")
    page.get_by_label("Reads").select_option("input")
    page.get_by_text("Enforce", exact=True).click()
    page.get_by_label("Then").select_option("tag")
    page.get_by_label("Terms", exact=True).fill("alpha")
    page.get_by_label("Must hit, text 1").fill(TEXT)
    page.get_by_label("Must pass, text 1").fill("Hello.")
    page.get_by_role("button", name="Save into the draft").click()
    expect(page.get_by_role("heading", name="Alpha by hand")).to_be_visible()
    page.goto("/rules/review/")
    page.get_by_label("Why?").fill("a test by hand")
    page.get_by_role("button", name="Publish").click()
    told = page.locator("#published header")
    expect(told).to_contain_text("obeyed by 3 of 3 workers after", timeout=10_000)
    expect(page.locator("#published")).to_contain_text("a test by hand")
    expect(page.locator("#published .workers li")).to_have_count(WORKERS)
    return str(told.text_content())


def test_a_rule_that_is_published_in_the_browser_is_obeyed_by_all_within_2_s(
    product: Product, workers: list[Process]
) -> None:
    marker = uuid4().hex
    product.script(match=TEXT, reply=TEXT)
    before = latest(product)

    with Talk(product, marker, TEXT).going_on() as talk:
        wait_for(lambda: judged(product, marker), timeout_s=30)
        in_chromium(lambda browser: publish_in_browser(product, browser))
        made, said = latest(product), talk.said
        wait_for(lambda: talk.said > said + 60)

    took = product.sql(
        "SELECT ruled_in_ms FROM runtime_heartbeat WHERE pid = ANY(%s) AND publication = %s",
        [worker.pid for worker in workers],
        made.id,
    )
    assert len(took) == WORKERS
    assert max(ms for (ms,) in took) < OBEYED_WITHIN_S * 1000
    assert all(worker.is_running for worker in workers)
    found = wait_for_verdicts(product, marker, talk.said)
    assert_each_is_of_its_set(product, found)
    old = [each for each in found if each.at_s < made.at_s]
    new = [each for each in found if each.at_s > made.at_s + OBEYED_WITHIN_S]
    assert {each.verdict.ruleset_hash for each in old} == {before.ruleset_hash}
    assert {each.verdict.ruleset_hash for each in new} == {made.ruleset_hash}


def test_a_frozen_worker_is_named_and_judges_nothing_on_waking_until_it_is_current(
    product: Product, workers: list[Process]
) -> None:
    marker, frozen = uuid4().hex, workers[1]
    ada = Person(product.base_url, name="ada", password=product.password)
    product.script(match=TEXT, reply=TEXT)
    outside = Outside(product, marker)
    [(instance,)] = product.sql(
        "SELECT instance FROM runtime_heartbeat WHERE pid = %s", frozen.pid
    )

    frozen.signal(SIGSTOP)
    try:
        publish_pair(product, 2_000)
        for number in range(60):
            outside.say(TEXT, conversation=number, number=0, tier="free")
        outside.flush()

        def told() -> str:
            return ada.look("/rules/published/").text

        wait_for(lambda: "obeyed by 2 of 2 workers" in told(), timeout_s=20)
        page = told()
        assert "1 silent" in page
        assert instance in page[: page.index("not heard of for")]
        assert "judges nothing when it wakes up until it is current" in page
        assert len(judged(product, marker)) < 2 * 60  # its partitions wait for it
    finally:
        frozen.signal(SIGCONT)

    found = wait_for_verdicts(product, marker, 60)
    made = latest(product)
    assert {each.verdict.ruleset_hash for each in found} == {made.ruleset_hash}
    assert_each_is_of_its_set(product, found)
    wait_for(lambda: "obeyed by 3 of 3 workers" in told(), timeout_s=10)


@pytest.mark.parametrize("publications", PUBLICATIONS)
def test_no_message_is_judged_by_half_a_rule_set(
    product: Product, workers: list[Process], publications: int
) -> None:
    marker = uuid4().hex
    product.script(match=TEXT, reply=TEXT)

    with Talk(product, marker, TEXT).going_on() as talk:
        wait_for(lambda: judged(product, marker), timeout_s=30)
        publisher = product.start(
            "publisher", "-m", "tests.e2e.publisher", str(publications)
        )
        assert publisher.wait(120) == 0

    found = wait_for_verdicts(product, marker, talk.said)
    assert_each_is_of_its_set(product, found)
    assert len({each.verdict.ruleset_hash for each in found}) > publications // 2
    assert all(worker.is_running for worker in workers)
