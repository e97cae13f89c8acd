"""The panel says that answers are paused or wait for people, aloud once, until it is over."""

import pytest
from playwright.sync_api import Page, expect

from tests.widget.conftest import Connect, greet, host_page, make_token
from tests.widget.stand_in import StandIn
from tests.widget.test_conversation import TRACE, ask

PAUSED = (
    "Answers are paused at the moment. What you write is kept and answered afterwards."
)
BY_PEOPLE = "At the moment a colleague checks every answer first. That can take longer."


def test_what_is_stopped_is_said_while_it_lasts_and_nobody_types_unseen(
    page: Page, connect: Connect, server: StandIn
) -> None:
    socket = connect(page)
    told = page.locator(".prospects")
    heard = page.locator("dialog [role=status]")
    expect(told).to_be_hidden()

    socket.send("answers", state="by_people")
    expect(told).to_have_text(BY_PEOPLE)
    expect(heard).to_have_text(BY_PEOPLE)
    ask(page, socket)
    socket.send("status", trace_id=TRACE, state="thinking")
    socket.send("answers", state="paused")
    expect(told).to_have_text(PAUSED)
    expect(heard).to_have_text(PAUSED)
    socket.send("answers", state="of_a_later_version")
    socket.send("status", trace_id=TRACE, state="checking")
    expect(page.locator(".note")).to_contain_text("Checking your message")
    expect(told).to_have_text(PAUSED)

    server.is_refusing = True
    socket.close()
    expect(page.locator(".strip")).to_contain_text("Reconnecting…")
    shown = "note => getComputedStyle(note, '::before').display"
    assert page.locator(".busy").evaluate(shown) == "none"
    server.is_refusing = False
    again = greet(server, answers="paused")
    expect(told).to_have_text(PAUSED)
    expect(heard).not_to_have_text(PAUSED)  # it was said before

    again.send("answers", state="flowing")
    expect(told).to_be_hidden()
    expect(heard).to_have_text("Answers come as usual again.")


@pytest.mark.parametrize("answers", ["paused", "by_people"])
def test_who_comes_later_hears_of_it_with_the_greeting_in_his_language(
    page: Page, connect: Connect, server: StandIn, answers: str
) -> None:
    server.pages["/de"] = host_page(f'data-token="{make_token()}"', lang="de")
    page.goto(f"http://{server.address}/de")
    page.get_by_role("button", name="Chat mit Autohaus Stern").click()
    socket = greet(server, answers=answers)

    german = {"paused": "Antworten sind gerade angehalten", "by_people": "ein Mensch"}
    expect(page.locator(".prospects")).to_contain_text(german[answers])
    socket.close()
    greet(server)  # it is over
    expect(page.locator(".prospects")).to_be_hidden()
