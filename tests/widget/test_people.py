"""People on both sides: one who is asked for and waited for, and what users say of answers."""

from playwright.sync_api import Locator, Page, expect

from tests.widget.conftest import Connect, greet
from tests.widget.stand_in import Socket, StandIn
from tests.widget.test_conversation import TRACE, note


def person(page: Page) -> Locator:
    return page.get_by_role("button", name="Talk to a person")


def test_a_person_is_asked_for_once_and_waited_for(
    page: Page, connect: Connect
) -> None:
    page.clock.install(time="2026-11-21T14:04:00Z")
    socket = connect(page)
    person(page).click()
    expect(person(page)).to_be_disabled()
    expect(page.get_by_label("Your message")).to_be_focused()

    sent = socket.expect("message")
    socket.send("accepted", id=sent["id"], trace_id=TRACE)
    row = {"seq": 1, "role": "user", "id": sent["id"], "trace_id": TRACE}
    socket.send("message", text=sent["text"], **row)
    since = "2026-11-21T14:02:43Z"
    socket.send("status", trace_id=TRACE, state="waiting_for_person", since=since)
    expect(note(page)).to_contain_text("Waiting for a person1 m 1")
    expect(person(page)).to_be_disabled()
    reply = {"seq": 2, "role": "assistant", "reviewed": True, "text": "I am here."}
    socket.send("message", trace_id=TRACE, in_reply_to=sent["id"], **reply)

    assert (sent["text"], sent["person"]) == ("I would like to talk to a person.", True)
    expect(person(page)).to_be_enabled()
    expect(note(page)).to_have_count(0)


def test_what_is_in_the_box_is_what_the_person_gets_and_a_lost_request_is_the_same(
    page: Page, connect: Connect, server: StandIn
) -> None:
    socket = connect(page)
    page.get_by_label("Your message").fill("My car does not start")
    person(page).click()
    sent = socket.expect("message")
    socket.close()

    assert greet(server).expect("message") == sent
    assert (sent["text"], sent["person"]) == ("My car does not start", True)


def test_after_a_reload_it_is_known_who_is_waited_for(
    page: Page, connect: Connect
) -> None:
    socket = connect(page, seq=1)
    row = {"seq": 1, "role": "user", "id": "m1", "trace_id": TRACE, "text": "Hello?"}
    socket.send("message", **row)
    state = {"state": "waiting_for_person", "person": True}
    socket.send("status", trace_id=TRACE, **state)

    expect(note(page)).to_contain_text("Waiting for a person")
    expect(person(page)).to_be_disabled()

    socket.send("status", trace_id=TRACE, state="failed", person=True)
    expect(person(page)).to_be_enabled()


def answer(socket: Socket, seq: int = 1, **fields: object) -> None:
    row = {"trace_id": f"t{seq}", "role": "assistant", "text": "Good day."}
    socket.send("message", seq=seq, **(row | fields))


def thumb(page: Page, name: str) -> Locator:
    return page.get_by_role("button", name=name, exact=True)


def test_a_thumb_is_sent_at_once_and_why_may_follow_by_keyboard(
    page: Page, connect: Connect
) -> None:
    socket = connect(page)
    answer(socket)

    thumb(page, "Not helpful").press("Enter")
    assert socket.expect("feedback") == {"type": "feedback", "seq": 1, "rating": "down"}
    socket.send("feedback", seq=1, rating="down")
    expect(thumb(page, "Not helpful")).to_have_attribute("aria-pressed", "true")
    expect(page.get_by_role("dialog").get_by_role("status")).to_contain_text(
        "Thank you"
    )
    page.keyboard.press("Tab")
    expect(page.get_by_label("Wrong")).to_be_focused()
    page.keyboard.press("Space")
    page.get_by_label("In your words").fill(" it costs more ")
    page.locator(".why").get_by_role("button", name="Send").press("Enter")

    assert socket.expect("feedback")["reason"] == "wrong: it costs more"
    expect(page.locator(".why")).to_have_count(0)
    expect(thumb(page, "Not helpful")).to_be_focused()


def test_escape_closes_the_question_why_and_not_the_chat(
    page: Page, connect: Connect
) -> None:
    socket = connect(page)
    answer(socket)
    thumb(page, "Helpful").click()
    socket.expect("feedback")
    page.get_by_label("In your words").press("Escape")

    expect(page.locator(".why")).to_have_count(0)
    expect(page.get_by_role("dialog")).to_be_visible()
    expect(thumb(page, "Helpful")).to_be_focused()

    page.keyboard.press("Enter")  # only asks again: nothing is said anew
    page.get_by_role("button", name="Skip").click()
    expect(page.locator(".why")).to_have_count(0)
    assert socket.is_silent()


def test_what_was_given_is_shown_after_a_reload(page: Page, connect: Connect) -> None:
    socket = connect(page, seq=2)

    answer(socket, 1)
    answer(socket, 2, rating="up")

    pressed = page.locator("[aria-pressed=true]")
    expect(pressed).to_have_count(1)
    expect(pressed).to_have_accessible_name("Helpful")


def test_a_refused_rating_is_taken_back_and_said(page: Page, connect: Connect) -> None:
    socket = connect(page)
    answer(socket, rating="up")
    thumb(page, "Not helpful").click()
    socket.expect("feedback")

    socket.send("error", code="rate_limited", detail="", seq=1, retry_after_s=9)

    expect(page.locator(".rate")).to_contain_text("could not be saved")
    expect(page.locator("[aria-pressed=true]")).to_have_accessible_name("Helpful")


def test_a_rating_that_was_not_confirmed_is_sent_again(
    page: Page, connect: Connect, server: StandIn
) -> None:
    socket = connect(page)
    answer(socket)
    thumb(page, "Helpful").click()
    given = socket.expect("feedback")
    socket.close()

    again = greet(server, seq=1)

    assert again.expect("feedback") == given
    again.send("feedback", seq=1, rating="up")
    expect(thumb(page, "Helpful")).to_have_attribute("aria-pressed", "true")
