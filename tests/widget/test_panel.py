"""The launcher and the panel: keyboard, focus, narrow screens, accessibility."""

import pytest
from axe_playwright_python.sync_playwright import (
    Axe,
)
from playwright.sync_api import Browser, Page, expect

from tests.widget.conftest import Connect, host_page, make_token
from tests.widget.stand_in import Socket, StandIn

TRACES = ["checking", "thinking", "waiting_for_person", "paused", "failed"]


def fill_with_everything(page: Page, socket: Socket) -> None:
    """One turn in each state, a reviewed answer, a correction, an unsent and a refused message, and a long word."""
    for seq, state in enumerate(TRACES, start=1):
        socket.send(
            "message",
            seq=seq,
            trace_id=state,
            role="user",
            text=f"Question {seq}",
            id=state,
        )
        socket.send("status", trace_id=state, state=state, since="2026-11-21T14:02:43Z")
    socket.send(
        "message",
        seq=6,
        trace_id="t6",
        role="assistant",
        text="Donau" + "dampfschifffahrts" * 12,
        reviewed=True,
        question="schön" * 40,
    )
    socket.send(
        "message",
        seq=7,
        trace_id="t0",
        role="assistant",
        text="It costs 58,000 euros, not 48,000.",
        reviewed=True,
        correction=True,
        question="What does the E-Class cost?",
    )
    box = page.get_by_label("Your message")
    box.fill("no")
    box.press("Enter")
    refused = socket.expect("message")
    socket.send("error", code="bad_request", detail="", id=refused["id"])
    box.fill("wait")
    box.press("Enter")
    unsent = socket.expect("message")
    socket.send("error", code="unconfirmed", detail="", id=unsent["id"])
    box.fill("ü" * 4100)
    expect(page.locator(".text")).to_have_count(9)
    expect(page.get_by_role("button", name="Try again")).to_have_count(2)


def is_wider_than_its_window(page: Page) -> bool:
    return bool(
        page.evaluate(
            """() => {
              const inside = document.querySelector("interlock-chat").shadowRoot;
              const parts = [document.documentElement, inside.querySelector("dialog"), inside.querySelector(".log")];
              return parts.some((part) => part.scrollWidth > part.clientWidth);
            }"""
        )
    )


def violations(page: Page) -> list[str]:
    found = Axe().run(page).response["violations"]
    return [f"{each['id']}: {each['nodes'][0]['html']}" for each in found]


def test_the_keyboard_opens_writes_and_closes_and_the_focus_comes_back(
    page: Page, server: StandIn, connect: Connect
) -> None:
    page.goto(f"http://{server.address}/")
    launcher = page.get_by_role("button", name="Chat with Autohaus Stern")
    expect(launcher).to_be_visible()
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    expect(launcher).to_be_focused()

    page.keyboard.press("Enter")
    box = page.get_by_label("Your message")
    expect(box).to_be_focused()
    page.keyboard.type("one")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("two")
    expect(box).to_have_value("one\ntwo")
    page.keyboard.press("Enter")
    expect(box).to_have_value("")
    page.keyboard.press("Escape")

    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(launcher).to_be_focused()


def test_the_page_behind_the_panel_stays_usable(page: Page, connect: Connect) -> None:
    connect(page)

    page.get_by_role("link", name="a link").click()

    expect(page.get_by_role("dialog", name="Autohaus Stern")).to_be_visible()


def test_opened_by_the_page_it_leaves_the_focus_where_it_was(
    page: Page, server: StandIn
) -> None:
    token = make_token()
    server.pages["/"] = host_page(f'data-token="{token}" data-open="true"')

    page.goto(f"http://{server.address}/")

    assert server.next_socket().expect("hello")["token"] == token
    expect(page.get_by_role("dialog")).to_be_visible()
    assert page.evaluate("document.activeElement === document.body")


def test_nobody_is_connected_who_has_not_opened_it(page: Page, server: StandIn) -> None:
    page.goto(f"http://{server.address}/")
    expect(page.get_by_role("button", name="Chat with")).to_be_visible()

    assert server.sockets.empty()


def test_an_answer_that_comes_while_it_is_closed_is_counted_on_the_launcher(
    page: Page, connect: Connect
) -> None:
    socket = connect(page)
    page.get_by_role("button", name="Close chat").click()

    socket.send("message", seq=1, trace_id="t1", role="assistant", text="Good day.")

    launcher = page.get_by_role("button", name="Chat with Autohaus Stern, 1 new")
    launcher.click()
    page.get_by_role("button", name="Close chat").click()
    closed = page.get_by_role("button", name="Chat with Autohaus Stern", exact=True)
    expect(closed.locator("b")).to_be_hidden()


def test_a_reader_further_up_is_not_moved_and_told_of_what_came(
    page: Page, connect: Connect
) -> None:
    socket = connect(page, seq=1)
    socket.send("message", seq=1, trace_id="t1", role="assistant", text="line\n" * 80)
    log = page.get_by_role("log")
    expect(log).not_to_have_attribute("aria-busy", "true")
    log.evaluate("log => { log.scrollTop = 0 }")

    socket.send("message", seq=2, trace_id="t2", role="assistant", text="the end")

    page.get_by_role("button", name="New below").click()
    expect(page.get_by_text("the end", exact=True)).to_be_in_viewport()
    expect(page.get_by_role("button", name="New below")).to_be_hidden()


def test_the_end_stays_in_sight_while_the_box_below_grows(
    page: Page, connect: Connect
) -> None:
    socket = connect(page)
    socket.send(
        "message", seq=1, trace_id="t1", role="assistant", text="line\n" * 80 + "end"
    )
    expect(page.locator(".text")).to_have_count(1)

    page.get_by_label("Your message").fill("long\n" * 5 + "ü" * 4100)

    expect(page.locator(".count")).to_be_visible()
    page.wait_for_function(
        """() => {
          const log = document.querySelector("interlock-chat").shadowRoot.querySelector(".log");
          return log.scrollHeight - log.scrollTop - log.clientHeight < 2;
        }"""
    )


def test_the_past_is_not_read_aloud_as_news(page: Page, connect: Connect) -> None:
    socket = connect(page, seq=2)
    log = page.get_by_role("log")
    expect(log).to_have_attribute("aria-busy", "true")

    socket.send("message", seq=1, trace_id="t1", role="assistant", text="then")
    socket.send("message", seq=2, trace_id="t2", role="assistant", text="now")

    expect(log).not_to_have_attribute("aria-busy", "true")


def test_the_pages_styles_stay_outside(page: Page, server: StandIn) -> None:
    server.pages["/"] = host_page(f'data-token="{make_token()}" data-open="true"')
    page.goto(f"http://{server.address}/")
    page.evaluate(
        """() => {
          const sheet = new CSSStyleSheet();
          sheet.replaceSync("* { color: red !important; font: 40px serif !important; display: none !important; }");
          document.adoptedStyleSheets = [sheet];
        }"""
    )

    heading = page.locator("interlock-chat h2")

    assert heading.evaluate("h => getComputedStyle(h).fontSize") == "16px"
    assert heading.evaluate("h => getComputedStyle(h).color") == "rgb(26, 26, 23)"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_axe_finds_nothing_and_nothing_overflows(
    browser: Browser, connect: Connect, server: StandIn, scheme: str, width: int
) -> None:
    context = browser.new_context(
        color_scheme="dark" if scheme == "dark" else "light",
        viewport={"width": width, "height": 720},
        bypass_csp=True,
        reduced_motion="reduce",
    )
    page = context.new_page()
    page.goto(f"http://{server.address}/")
    assert violations(page) == []

    socket = connect(page, answers="by_people")
    fill_with_everything(page, socket)

    moving = "note => getComputedStyle(note, '::before').animationName"
    assert page.locator(".busy").first.evaluate(moving) == "none"
    page.get_by_role("button", name="Not helpful").click()
    expect(page.get_by_text("What did not help?")).to_be_visible()

    assert violations(page) == []
    assert not is_wider_than_its_window(page)
    socket.send("answers", state="paused")
    expect(page.locator(".prospects")).to_contain_text("Answers are paused")
    assert violations(page) == []
    context.close()


def test_on_a_narrow_screen_the_panel_covers_the_page_and_keeps_the_focus(
    page: Page, connect: Connect
) -> None:
    page.set_viewport_size({"width": 360, "height": 640})
    connect(page)
    panel = page.get_by_role("dialog")

    assert panel.bounding_box() == {"x": 0, "y": 0, "width": 360, "height": 640}
    assert panel.evaluate("panel => panel.matches(':modal')")
    page.keyboard.press("Escape")
    expect(panel).to_be_hidden()
    expect(page.get_by_role("button", name="Chat with")).to_be_focused()
