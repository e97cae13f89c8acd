"""Wherever a socket is cut, two tabs together show what the database has, and nothing twice."""

import itertools
import re
import time
from collections.abc import Callable
from uuid import uuid4

import pytest
from playwright.sync_api import BrowserContext, Locator, Page, expect, sync_playwright

from controlplane.chat import tokens
from tests.browser import CHROMIUM, FLAGS
from tests.e2e.cutting import CuttingProxy
from tests.e2e.product import Product
from tests.soak import widget as soak_widget
from tests.soak.facts import Client, Said
from tests.soak.load import Load
from tests.waiting import wait_for

CUTS = 100
LONGEST_CONNECTION = 14  # frames: more than a question and its answer are
PEOPLE = 6
QUESTION = "When are you open on Saturday?"

_WRITTEN = """
SELECT m.seq, m.role, m.text FROM chat_message m
WHERE m.conversation_id = %s ORDER BY m.seq
"""


class Talk:
    """People with two tabs each, who ask in both, through a proxy that cuts."""

    def __init__(self, product: Product, proxy: CuttingProxy) -> None:
        people = [uuid4().hex for _ in range(PEOPLE)]
        self.load = Load(
            [tokens.issue(name, tier="free") for name in people for _ in range(2)],
            [f"ws://127.0.0.1:{proxy.port}/ws/chat/"],
            "cuts",
        )
        self._product = product

    @property
    def tabs(self) -> list[tuple[Client, Client]]:
        """Return the two tabs of each person."""
        clients = iter(self.load.clients)
        return list(zip(clients, clients, strict=True))

    def ask_until(self, is_enough: Callable[[], bool]) -> None:
        """Let every tab ask whenever it has no question open."""

        def ask() -> bool:
            for widget in self.load._widgets:
                if not widget.pending:
                    said = Said(str(uuid4()), QUESTION, time.time())
                    self.load._loop.call_soon_threadsafe(widget.say, said)
            return is_enough()

        wait_for(ask, timeout_s=90)

    def written(self, client: Client) -> list[tuple[int, str, str]]:
        return self._product.sql(_WRITTEN, client.conversation_id)

    def is_answered(self) -> bool:
        return self.load.is_confirmed and all(
            shown(first) == shown(second) == self.written(first)
            and [role for _, role, _ in shown(first)].count("assistant")
            == len(first.said) + len(second.said)
            for first, second in self.tabs
        )


def shown(client: Client) -> list[tuple[int, str, str]]:
    return [(line.seq, line.role, line.text) for line in list(client.live)]


@pytest.mark.timeout(180)
def test_two_tabs_cut_at_each_frame_a_hundred_times(
    product: Product, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(soak_widget, "LONGEST_WAIT_S", 0.1)
    limits = itertools.cycle(range(1, LONGEST_CONNECTION + 1))

    with CuttingProxy(product.port, lambda _: next(limits)) as proxy:
        talk = Talk(product, proxy)
        talk.load.start()
        try:
            talk.ask_until(lambda: len(proxy.cuts) >= CUTS)
            proxy.frames_of = lambda _: None
            wait_for(talk.is_answered, timeout_s=60, what="all is answered and shown")
        finally:
            talk.load.close()

    assert set(proxy.cuts) == set(range(1, LONGEST_CONNECTION + 1))
    for tabs in talk.tabs:
        ids = {said.client_id for tab in tabs for said in tab.said}
        turns = product.sql(
            "SELECT client_id FROM chat_turn WHERE conversation_id = %s",
            tabs[0].conversation_id,
        )
        assert sorted(turns) == sorted((name,) for name in ids)
        assert [tab.refusals for tab in tabs] == [[], []]
        seqs = [seq for seq, _, _ in talk.written(tabs[0])]
        assert seqs == list(range(1, 2 * len(ids) + 1))


@pytest.mark.long
@pytest.mark.timeout(180)
def test_two_tabs_of_a_real_page_that_are_cut_seven_times(product: Product) -> None:
    limits = iter([1, 2, 4, 5, 6, 7, 9])
    marker = uuid4().hex

    with (
        CuttingProxy(product.port, lambda _: next(limits, None)) as proxy,
        sync_playwright() as playwright,
    ):
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        context = chromium.new_context()
        tabs = [open_tab(context, f"http://127.0.0.1:{proxy.port}/demo/") for _ in "12"]
        asked = [f"{QUESTION} {number} {marker}" for number in range(6)]
        for number, text in enumerate(asked):
            tab = tabs[number % 2]
            tab.get_by_label("Your message").fill(text)
            tab.keyboard.press("Enter")
            expect(lines(tab).get_by_text(text)).to_have_count(1)
        wait_for(lambda: len(proxy.cuts) == 7, timeout_s=60, what="seven cuts")
        for tab in tabs:
            expect(lines(tab)).to_have_count(2 * len(asked), timeout=60_000)
        seen = [lines(tab).all_inner_texts() for tab in tabs]
        chromium.close()

    [(conversation,)] = product.sql(
        "SELECT DISTINCT conversation_id FROM chat_turn WHERE text LIKE %s",
        f"%{marker}",
    )
    written = [text for _, _, text in product.sql(_WRITTEN, conversation)]
    assert seen == [written, written]
    assert sorted(text for text in written if marker in text) == asked


def open_tab(context: BrowserContext, address: str) -> Page:
    page = context.new_page()
    page.goto(address)
    page.get_by_role("button", name=re.compile("Chat")).click()
    return page


def lines(page: Page) -> Locator:
    return page.get_by_role("log").locator(".text")
