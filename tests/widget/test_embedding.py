"""On pages of others: what the tag's attributes change, a strict policy, styles that mean it no good."""

import json
import random
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.widget.conftest import Connect, greet, host_page, make_token
from tests.widget.stand_in import StandIn

TOKEN = f'data-token="{make_token()}"'
BAD = {
    "data-accent": "reddish",
    "data-position": "top",
    "data-theme": "sepia",
    "data-language": "tlh",
    "data-open": "perhaps",
    "data-socket": "mailto:us",
    "data-token-credentials": "all",
    "data-title": "x" * 61,
}


def test_a_value_that_cannot_be_used_is_said_once_and_a_safe_one_taken(
    page: Page, server: StandIn
) -> None:
    said: list[str] = []
    page.on(
        "console",
        lambda line: said.append(line.text) if line.type == "warning" else None,
    )
    attributes = " ".join(f'{name}="{value}"' for name, value in BAD.items())
    server.pages["/"] = host_page(f"{attributes} {TOKEN}").replace(
        'data-title="Autohaus Stern" ', ""
    )

    page.goto(f"http://{server.address}/")
    launcher = page.get_by_role("button", name="Chat with " + "x" * 59 + "…")
    launcher.click()
    greet(server)

    for name in BAD:
        assert len([line for line in said if f"{name}=" in line]) == 1, said
    assert len(said) == len(BAD)
    box = page.get_by_role("dialog").bounding_box()
    assert box is not None
    assert box["x"] > 500


def test_accent_position_and_theme_are_the_pages(page: Page, server: StandIn) -> None:
    server.pages["/"] = host_page(
        f'data-accent="#FC0" data-position="left" data-theme="dark" {TOKEN}'
    )

    page.goto(f"http://{server.address}/")
    launcher = page.get_by_role("button", name="Chat with")
    painted = launcher.evaluate(
        "b => [getComputedStyle(b).backgroundColor, getComputedStyle(b).color]"
    )
    launcher.click()

    assert painted == ["rgb(255, 204, 0)", "rgb(0, 0, 0)"]
    assert (
        page.locator("h2").evaluate("h => getComputedStyle(h).color")
        == "rgb(237, 236, 230)"
    )
    box = page.get_by_role("dialog").bounding_box()
    assert box is not None
    assert box["x"] == 16


def test_any_accent_leaves_the_words_on_it_readable(
    page: Page, server: StandIn
) -> None:
    page.goto(f"http://{server.address}/")
    numbers = [0, 0xFFFFFF, 0x767676, 0x777777, 0xFF0000, 0x00FF00, 0x0000FF]
    numbers += random.Random(4).choices(range(0x1000000), k=500)  # noqa: S311
    colours = [f"#{number:06x}" for number in numbers]

    worst = page.evaluate(
        """async (colours) => {
          const { accentOf, contrast } = await import("/static/widget/colour.js");
          const found = colours.map((each) => accentOf(each));
          return Math.min(...found.flatMap(({ colour, text, hover }) => [contrast(colour, text), contrast(hover, text)]));
        }""",
        colours,
    )

    assert worst >= 4.5


GREETINGS = {"de": "Was können wir für Sie tun?", "en": "What can we do for you?"}


def test_the_language_is_the_tags_else_the_pages_else_the_browsers(
    browser: Browser, server: StandIn
) -> None:
    for attribute, page_s, browser_s, spoken in [
        ("de", "en", "en-US", "de"),
        ("", "de-AT", "en-US", "de"),
        ("", "fr", "de-DE", "de"),
        ("", "", "fr-FR", "en"),
        ("en", "de", "de-DE", "en"),
    ]:
        context = browser.new_context(locale=browser_s)
        page = context.new_page()
        server.pages["/"] = host_page(
            f'data-language="{attribute}" data-open="true" {TOKEN}', lang=page_s
        )
        page.goto(f"http://{server.address}/")
        expect(page.get_by_role("dialog")).to_contain_text(GREETINGS[spoken])
        context.close()


def test_both_languages_say_everything(page: Page, server: StandIn) -> None:
    page.goto(f"http://{server.address}/")

    names = page.evaluate(
        """async () => {
          const { WORDS } = await import("/static/widget/words.js");
          const paths = (words, at) => Object.entries(words).flatMap(([name, word]) =>
            typeof word === "object" ? paths(word, `${at}.${name}`) : `${at}.${name} ${typeof word} ${Boolean(word)}`);
          return Object.values(WORDS).map((words) => paths(words, ""));
        }"""
    )

    assert names[0] == names[1]
    assert not any(name.endswith("false") for name in names[0])


def test_states_times_and_errors_are_in_the_language(
    page: Page, server: StandIn, connect: Connect
) -> None:
    page.clock.install(time="2026-11-21T14:04:00Z")
    server.pages["/"] = host_page(f'data-language="de" {TOKEN}')
    page.goto(f"http://{server.address}/")
    page.get_by_role("button", name="Chat mit Autohaus Stern").click()
    socket = greet(server)
    dialog = page.get_by_role("dialog")

    row = {"seq": 1, "role": "user", "id": "1", "trace_id": "t1", "text": "Hallo"}
    socket.send("message", at="2026-11-20T10:02:00Z", **row)
    expect(dialog.locator(".foot time")).to_have_text("20.11.2026, 10:02")
    since = "2026-11-21T14:02:43Z"
    socket.send("status", trace_id="t1", state="waiting_for_person", since=since)
    expect(dialog).to_contain_text("prüft diese Antwort1 Min. 1")
    page.get_by_label("Ihre Nachricht").fill("ü" * 3900)
    expect(page.locator(".count")).to_have_text("7.800 von 8.192 Bytes")
    socket.send("error", code="unavailable", detail="PostgreSQL: no route to host")

    expect(page.locator(".strip")).to_have_text("Der Chat ist gerade nicht erreichbar.")


HOSTILE = """
* { all: unset !important; color: red !important; font: 40px serif !important; display: inline !important; --ink: red !important; --surface: red !important; }
button { background: red !important; width: 400px !important; }
dialog, interlock-chat { display: none !important; opacity: 0 !important; transform: rotate(9deg) !important; }
"""
WATCH = """
window.violations = [];
window.heard = 0;
addEventListener("securitypolicyviolation", (event) => violations.push(`${event.violatedDirective} ${event.blockedURI}`));
addEventListener("keydown", () => { heard += 1; });
"""
NO_STORAGE = """
for (const name of ["sessionStorage", "localStorage"])
  Object.defineProperty(window, name, { get() { throw new DOMException("blocked", "SecurityError"); } });
"""
LOOK = """() => {
  const inside = document.querySelector("interlock-chat").shadowRoot;
  const names = ["color", "backgroundColor", "font", "display", "position", "padding", "margin", "border", "opacity", "visibility", "width", "height", "transform", "textAlign"];
  return [...inside.querySelectorAll("*")].map((node) => {
    const style = getComputedStyle(node);
    return [node.tagName, node.className, ...names.map((name) => style[name])];
  });
}"""


@pytest.fixture(scope="module")
def foreign() -> Iterator[StandIn]:
    """A shop's own server."""
    shop = StandIn()
    shop.start()
    yield shop
    shop.stop()


def embed(foreign: StandIn, server: StandIn, *, styles: str = "") -> str:
    """Put the widget on the shop's page; return the page's address."""
    host = server.address
    foreign.policy = (
        f"default-src 'self'; script-src 'self' http://{host}; "
        f"connect-src 'self' http://{host} ws://{host}"
    )
    foreign.pages = {
        "/shop.css": styles,
        "/": f"""<!doctype html><html lang="en"><head><meta charset="utf-8"><title>A shop</title>
<link rel="stylesheet" href="/shop.css">
<script src="http://{host}/static/widget/widget.js" data-token="{make_token()}" data-title="Autohaus Stern" defer></script>
</head><body><h1>A shop</h1><button>Buy</button></body></html>""",
    }
    port = foreign.address.rpartition(":")[2]
    return f"http://localhost:{port}/"


def converse(page: Page, server: StandIn) -> None:
    """Open the chat, ask and be answered."""
    page.evaluate(
        """() => document.querySelector("interlock-chat").shadowRoot.querySelector("button").click()"""
    )
    socket = greet(server)
    page.get_by_label("Your message").fill("Hello")
    page.keyboard.press("Enter")
    sent = socket.expect("message")
    socket.send("accepted", id=sent["id"], trace_id="t1")
    asked = {"seq": 1, "trace_id": "t1", "role": "user", "id": sent["id"]}
    socket.send("message", text="Hello", **asked)
    socket.send("message", seq=2, trace_id="t1", role="assistant", text="Good day.")
    expect(page.locator(".text")).to_have_text(["Hello", "Good day."])


def look(page: Page, address: str, server: StandIn) -> list[Any]:
    page.goto(address)
    expect(page.locator("interlock-chat")).to_be_attached()
    converse(page, server)
    looks: list[Any] = page.evaluate(LOOK)
    return looks


def test_a_strict_policy_refuses_nothing_and_hostile_styles_reach_nothing(
    browser: Browser, server: StandIn, foreign: StandIn
) -> None:
    context = browser.new_context(reduced_motion="reduce")
    context.add_cookies(
        [{"name": "theirs", "value": "1", "url": f"http://{server.address}"}]
    )
    context.add_init_script(WATCH)
    page = context.new_page()
    plain = look(page, embed(foreign, server), server)
    page.evaluate("sessionStorage.clear()")
    cookies: list[str | None] = []
    page.on(
        "request",
        lambda request: cookies.append(request.header_value("cookie")),
    )

    hostile = look(page, embed(foreign, server, styles=HOSTILE), server)

    assert hostile == plain
    assert len(plain) > 30
    assert page.evaluate("violations") == []
    assert page.evaluate("heard") == 0  # what is typed is no shortcut of the page
    assert page.evaluate("document.adoptedStyleSheets.length") == 0
    assert page.evaluate("document.styleSheets.length") == 1
    assert page.evaluate(
        "[...document.body.children].map((each) => each.localName)"
    ) == [
        "h1",
        "button",
        "interlock-chat",
    ]
    button = page.locator("body > button")
    assert (
        button.evaluate("button => getComputedStyle(button).color") == "rgb(255, 0, 0)"
    )
    assert [each["name"] for each in context.cookies()] == ["theirs"]
    assert page.evaluate("localStorage.length") == 0
    assert "theirs" not in json.dumps(cookies[1:])
    context.close()


def test_it_adds_no_name_to_the_page_and_does_without_storage(
    browser: Browser, server: StandIn, foreign: StandIn
) -> None:
    context = browser.new_context()
    context.add_init_script(WATCH + NO_STORAGE)
    context.add_init_script("window.names = Object.keys(window).length")
    page = context.new_page()
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.goto(embed(foreign, server))
    expect(page.get_by_role("button", name="Chat with Autohaus Stern")).to_be_visible()
    before = page.evaluate("window.names")

    converse(page, server)

    assert page.evaluate("Object.keys(window).length") - before <= 1  # names itself
    assert page.evaluate("violations") == []
    assert wrong == []
    context.close()
