"""What people and models write does nothing in the widget, however it is written."""

import pytest
from playwright.sync_api import Page, expect

from tests.safety import hostile
from tests.widget.conftest import Connect
from tests.widget.stand_in import StandIn

LARGEST_FRAME = 65_000  # of the stand-in
PARTS = {"BUTTON", "DIV", "P", "SPAN", "path", "svg"}


def test_hostile_texts_are_shown_and_do_nothing(
    page: Page, connect: Connect, server: StandIn
) -> None:
    texts = [text[: LARGEST_FRAME // 26] for text in hostile.strings()]
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("dialog", lambda dialog: pytest.fail(dialog.message))
    page.set_viewport_size({"width": 360, "height": 800})
    socket = connect(page, seq=len(texts))
    for seq, text in enumerate(texts, start=1):
        role = "assistant" if seq % 2 else "user"
        socket.send(
            "message", seq=seq, role=role, text=text, question=text, reviewed=True
        )

    log = page.get_by_role("log")
    expect(log.locator(".turn")).to_have_count(len(texts), timeout=20_000)

    shown = log.inner_text()
    assert [n for n in range(len(texts)) if hostile.number_of(n) not in shown] == []
    assert [
        code for code in "\u202e\u2066\u200b\ufeff\U000e0041\x07" if code in shown
    ] == []
    found = log.evaluate("log => [...log.querySelectorAll('*')].map(e => e.tagName)")
    assert set(found) == PARTS
    assert page.evaluate("window.ran === undefined")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    away = [url for url in asked if not url.startswith(f"http://{server.address}/")]
    assert away == []
