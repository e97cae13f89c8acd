"""Messages out and answers in: order, states, repeats, and what survives a lost connection."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Locator, Page, expect

from tests.widget.conftest import Connect, greet
from tests.widget.stand_in import Socket, StandIn

TRACE = "4bf92f3577b34da6a3ce929d0e0ed0a1"


def write(page: Page, text: str) -> None:
    page.get_by_label("Your message").fill(text)
    page.keyboard.press("Enter")


def turns(page: Page) -> Locator:
    return page.get_by_role("log").locator(".text")


def note(page: Page) -> Locator:
    return page.get_by_role("log").locator(".note:visible")


def ask(page: Page, socket: Socket, text: str = "What does it cost?") -> str:
    write(page, text)
    sent = socket.expect("message")
    assert sent["text"] == text
    socket.send("accepted", id=sent["id"], trace_id=TRACE)
    return str(sent["id"])


def test_a_message_is_called_sent_only_once_it_is_accepted(
    page: Page, connect: Connect
) -> None:
    socket = connect(page)
    write(page, "What does it cost?")
    expect(note(page)).to_have_text("Sending…")

    sent = socket.expect("message")
    socket.send("accepted", id=sent["id"], trace_id=TRACE)

    expect(note(page)).to_have_text("Sent")
    assert re.fullmatch(r"[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}", sent["id"])


SILENCE = "Sent. Nothing heard back yet"


def test_a_server_that_falls_silent_is_not_waited_for_without_a_word(
    page: Page, connect: Connect, server: StandIn
) -> None:
    page.clock.install()
    socket = connect(page)
    ask(page, socket)
    expect(note(page)).to_have_text("Sent")

    page.clock.fast_forward(2_000)
    expect(note(page)).to_contain_text(f"{SILENCE}2 s")
    expect(page.get_by_role("dialog").get_by_role("status")).to_have_text(SILENCE)
    page.clock.fast_forward(3_000)
    expect(note(page)).to_contain_text("5 s")

    page.clock.fast_forward(10_000)  # a dead one is left for another
    page.clock.fast_forward(1_000)
    again = greet(server)
    again.send("status", trace_id=TRACE, state="thinking")
    expect(note(page)).to_have_text("Thinking")


def test_a_server_that_has_said_a_word_may_be_silent(
    page: Page, connect: Connect, server: StandIn
) -> None:
    page.clock.install()
    socket = connect(page)
    ask(page, socket)
    socket.send("status", trace_id=TRACE, state="thinking")
    expect(note(page)).to_have_text("Thinking")

    for _ in range(4):
        page.clock.fast_forward(15_000)

    expect(note(page)).to_have_text(re.compile(r"^Thinking1 m \d+ s$"))
    assert server.sockets.empty()


def test_one_s_own_message_that_came_back_is_no_word_of_its_answer(
    page: Page, connect: Connect
) -> None:
    page.clock.install()
    socket = connect(page)
    own = ask(page, socket)
    row = {"seq": 1, "role": "user", "id": own, "trace_id": TRACE}
    socket.send("message", text="What does it cost?", **row)
    expect(note(page)).to_have_text("Sent")

    page.clock.fast_forward(2_000)

    expect(note(page)).to_contain_text(SILENCE)


def test_the_word_counts_from_when_the_question_was_sent(
    page: Page, connect: Connect
) -> None:
    """Whatever comes first, its row or its acceptance, and whatever comes between."""
    page.clock.install()
    socket = connect(page)
    write(page, "What does it cost?")
    own = socket.expect("message")["id"]
    row = {"seq": 1, "role": "user", "id": own, "trace_id": TRACE}
    socket.send("message", text="What does it cost?", **row)
    expect(note(page)).to_have_text("Sent")

    page.clock.fast_forward(1_500)
    socket.send("accepted", id=own, trace_id=TRACE)
    page.clock.fast_forward(500)
    expect(note(page)).to_contain_text(f"{SILENCE}2 s")


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("checking", "Checking your message"),
        ("thinking", "Thinking"),
        ("waiting_for_person", "A colleague is checking this answer"),
        ("paused", "Answers are paused"),
        ("failed", "This answer failed"),
    ],
)
def test_each_state_has_its_word_and_is_announced(
    page: Page, connect: Connect, state: str, words: str
) -> None:
    socket = connect(page)
    ask(page, socket)

    socket.send("status", trace_id=TRACE, state=state)

    expect(note(page)).to_contain_text(words)
    expect(page.get_by_role("dialog").get_by_role("status")).to_contain_text(words)


def test_the_time_a_person_takes_counts_from_when_it_began(
    page: Page, connect: Connect
) -> None:
    page.clock.install(time="2026-11-21T14:04:00Z")
    socket = connect(page)
    ask(page, socket)

    socket.send(
        "status",
        trace_id=TRACE,
        state="waiting_for_person",
        since="2026-11-21T14:02:43Z",
    )

    expect(note(page)).to_contain_text("1 m 1")
    page.clock.fast_forward(60_000)
    expect(note(page)).to_contain_text("2 m 1")


def test_a_device_with_a_wrong_clock_shows_the_servers_time(
    page: Page, connect: Connect
) -> None:
    page.clock.install(time="2026-11-21T18:00:00Z")
    socket = connect(page, now="2026-11-21T14:04:00Z")
    ask(page, socket)

    socket.send("status", trace_id=TRACE, state="paused", since="2026-11-21T14:02:43Z")

    expect(note(page)).to_contain_text("1 m 1")


def test_an_answer_ends_the_state_of_its_question(page: Page, connect: Connect) -> None:
    socket = connect(page)
    own = ask(page, socket)
    socket.send("status", trace_id=TRACE, state="thinking")
    socket.send(
        "message", seq=1, trace_id=TRACE, role="user", text="What does it cost?", id=own
    )
    socket.send(
        "message",
        seq=2,
        trace_id=TRACE,
        in_reply_to=own,
        role="assistant",
        text="€46,900.",
    )
    socket.send("status", trace_id=TRACE, state="thinking")

    expect(turns(page)).to_have_text(["What does it cost?", "€46,900."])
    expect(note(page)).to_have_count(0)


def test_a_reviewed_answer_says_so_and_quotes_its_question(
    page: Page, connect: Connect
) -> None:
    socket = connect(page)

    socket.send(
        "message",
        seq=4,
        trace_id=TRACE,
        role="assistant",
        text="12 % off.",
        reviewed=True,
        question="What is your best price?",
    )

    answer = page.get_by_role("log").locator(".assistant")
    expect(answer).to_contain_text("Reviewed by a colleague")
    expect(answer.locator(".quote")).to_contain_text("What is your best price?")


def test_a_correction_is_shown_as_one_and_says_which_question_it_is_about(
    page: Page, connect: Connect, server: StandIn
) -> None:
    socket = connect(page)
    row = {"trace_id": TRACE, "question": "What does it cost?", "in_reply_to": "1"}
    answer = row | {"seq": 2, "role": "assistant", "text": "Ten.", "reviewed": False}
    socket.send("message", **answer)
    page.get_by_role("button", name="Close chat").click()

    corrected = answer | {"seq": 3, "text": "Twenty.", "reviewed": True}
    socket.send("message", correction=True, **corrected)

    said = page.locator("interlock-chat").get_by_role("status")
    expect(said.last).to_have_text("Correction from Autohaus Stern")
    page.get_by_role("button", name="Chat with Autohaus Stern, 1 new").click()
    log = page.get_by_role("log")
    shown = log.locator(".correction")
    expect(shown).to_contain_text("Correction to an earlier answer")
    expect(shown).to_contain_text("Twenty.")
    expect(shown.locator(".quote")).to_have_text("To your question: What does it cost?")
    expect(shown).to_contain_text("Written by a colleague")
    expect(log.get_by_role("button", name="Helpful", exact=True)).to_have_count(1)

    socket.close()  # and it is known after a reconnect
    again = greet(server, seq=3)
    assert again.hello["after"] == 3
    again.send("message", correction=True, **corrected)
    again.send("message", **(corrected | {"seq": 4, "text": "Bye."}))
    expect(turns(page)).to_have_text(["Ten.", "Twenty.", "Bye."])


def test_an_answer_that_nobody_reviewed_does_not_say_so(
    page: Page, connect: Connect
) -> None:
    socket = connect(page)

    socket.send(
        "message",
        seq=1,
        trace_id=TRACE,
        role="assistant",
        text="Hello.",
        reviewed=False,
    )

    expect(turns(page)).to_have_text("Hello.")
    expect(page.get_by_text("Reviewed by a colleague")).to_have_count(0)
    expect(page.locator(".quote")).to_have_count(0)


def test_a_repeated_message_is_shown_once_and_in_its_place(
    page: Page, connect: Connect
) -> None:
    socket = connect(page)

    for seq in (1, 3, 2, 3, 1):
        socket.send(
            "message",
            seq=seq,
            trace_id=f"t{seq}",
            role="assistant",
            text=f"number {seq}",
        )
    socket.send("message", seq=9, trace_id="t9", role="assistant", text="the end")

    expect(turns(page)).to_have_text(["number 1", "number 2", "number 3", "the end"])


def test_after_a_lost_connection_only_what_was_missed_is_asked_for(
    page: Page, connect: Connect, server: StandIn
) -> None:
    socket = connect(page)
    assert socket.hello["after"] == 0
    socket.send("message", seq=7, trace_id="t7", role="assistant", text="seven")
    expect(turns(page)).to_have_text("seven")

    socket.close()
    expect(page.get_by_text("Reconnecting…").first).to_be_visible()
    again = greet(server, seq=8)
    again.send("message", seq=8, trace_id="t8", role="assistant", text="eight")

    assert again.hello["after"] == 7
    expect(turns(page)).to_have_text(["seven", "eight"])
    expect(page.locator(".strip")).to_be_hidden()


def test_what_is_written_while_the_connection_is_down_is_sent_later_in_order(
    page: Page, connect: Connect, server: StandIn
) -> None:
    socket = connect(page)
    server.is_refusing = True
    socket.close()
    expect(page.locator(".strip")).to_contain_text("Reconnecting…")
    write(page, "first")
    write(page, "second")
    expect(note(page)).to_have_text(["Not sent yet", "Not sent yet"])

    server.is_refusing = False
    again = greet(server)
    first = again.expect("message")
    assert again.is_silent()  # the second waits until the first is accepted
    again.send("accepted", id=first["id"], trace_id="t1")
    second = again.expect("message")

    assert (first["text"], second["text"]) == ("first", "second")


def test_a_message_that_was_not_accepted_is_sent_again_with_the_same_id(
    page: Page, connect: Connect, server: StandIn
) -> None:
    socket = connect(page)
    write(page, "Are you there?")
    sent = socket.expect("message")
    socket.close()

    again = greet(server).expect("message")

    assert again == sent


def test_a_silent_connection_is_given_up(
    page: Page, connect: Connect, server: StandIn
) -> None:
    page.clock.install()
    socket = connect(page)
    write(page, "Are you there?")
    sent = socket.expect("message")

    page.clock.fast_forward(16_000)
    page.clock.fast_forward(31_000)

    assert greet(server).expect("message") == sent


def test_an_unconfirmed_message_stays_unsent_and_goes_out_again_by_itself(
    page: Page, connect: Connect
) -> None:
    page.clock.install()
    socket = connect(page)
    write(page, "What does it cost?")
    sent = socket.expect("message")
    socket.send("error", code="unconfirmed", detail="no answer", id=sent["id"])
    expect(note(page)).to_contain_text("Not sent yet")
    expect(page.get_by_role("button", name="Try again")).to_be_visible()

    page.clock.fast_forward(31_000)

    assert socket.expect("message") == sent
    socket.send("accepted", id=sent["id"], trace_id=TRACE)
    expect(note(page)).to_have_text("Sent")


def test_try_again_sends_an_unconfirmed_message_at_once_with_the_same_id(
    page: Page, connect: Connect
) -> None:
    socket = connect(page)
    page.clock.install()
    write(page, "What does it cost?")
    sent = socket.expect("message")
    socket.send("error", code="unconfirmed", detail="no answer", id=sent["id"])

    page.get_by_role("button", name="Try again").click()

    assert socket.expect("message") == sent
    expect(page.get_by_label("Your message")).to_be_focused()


def test_too_many_messages_wait_as_long_as_the_server_asks(
    page: Page, connect: Connect
) -> None:
    page.clock.install()
    socket = connect(page)
    write(page, "again")
    sent = socket.expect("message")
    socket.send("error", code="rate_limited", detail="", id=sent["id"], retry_after_s=5)
    expect(note(page)).to_contain_text("Too many messages. Trying again in")

    page.clock.fast_forward(6000)

    assert socket.expect("message") == sent


def test_asking_a_failed_answer_again_is_a_new_message(
    page: Page, connect: Connect
) -> None:
    socket = connect(page)
    own = ask(page, socket)
    socket.send("status", trace_id=TRACE, state="failed")

    page.get_by_role("button", name="Try again").click()

    sent = socket.expect("message")
    assert sent["text"] == "What does it cost?"
    assert sent["id"] != own
    expect(note(page).first).to_contain_text("Asked again below")


@pytest.mark.parametrize("code", ["id_reused", "too_long", "bad_request"])
def test_a_refused_message_can_be_edited_and_holds_up_no_other(
    page: Page, connect: Connect, code: str
) -> None:
    socket = connect(page)
    write(page, "no")
    refused = socket.expect("message")
    socket.send("error", code=code, detail="refused", id=refused["id"])
    page.get_by_role("button", name="Edit").click()
    expect(page.get_by_label("Your message")).to_have_value("no")

    write(page, "yes")

    sent = socket.expect("message")
    assert (sent["text"], sent["id"] == refused["id"]) == ("yes", False)


def test_a_text_over_the_limit_is_counted_in_bytes_and_not_sent(
    page: Page, connect: Connect
) -> None:
    socket = connect(page)
    write(page, "ü" * 4000)
    assert socket.expect("message")["text"] == "ü" * 4000
    page.get_by_label("Your message").fill("ü" * 3900)
    expect(page.locator(".count")).to_have_text("7,800 of 8,192 bytes")

    write(page, "ü" * 4100)

    expect(page.locator(".count")).to_have_text("8 bytes too long to send")
    expect(page.get_by_label("Your message")).to_have_value("ü" * 4100)
    expect(turns(page)).to_have_count(1)


HOSTILE = "<img src=x onerror=alert(1)> \u202egnp.exe\u2066 a\u200bb \U000e0041 \x07\r\nnext 👩‍👧 می‌خواهم"


def test_hostile_text_is_shown_and_does_nothing(page: Page, connect: Connect) -> None:
    socket = connect(page)

    socket.send(
        "message",
        seq=1,
        trace_id=TRACE,
        role="assistant",
        text=HOSTILE,
        question=HOSTILE,
    )

    shown = "<img src=x onerror=alert(1)> [U+202E]gnp.exe[U+2066] a[U+200B]b [U+E0041] [U+0007]\nnext 👩‍👧 می‌خواهم"
    expect(turns(page)).to_have_count(1)
    assert turns(page).text_content() == shown
    assert page.locator("img").count() == 0


def test_frames_that_it_does_not_know_change_nothing(
    page: Page, connect: Connect
) -> None:
    socket = connect(page)

    socket.send("toString")
    socket.send("fireworks", text="!")
    socket.send("status", trace_id="unknown", state="dancing")
    socket.send("message", seq=1, trace_id=TRACE, role="assistant", text="still here")

    expect(turns(page)).to_have_text("still here")


def test_two_tabs_show_the_same_transcript(
    context: BrowserContext, page: Page, connect: Connect
) -> None:
    other = context.new_page()
    here, there = connect(page), connect(other)
    own = ask(page, here, "Hello")
    for socket in (here, there):
        socket.send("status", trace_id=TRACE, state="checking")
        socket.send("message", seq=1, trace_id=TRACE, role="user", text="Hello", id=own)

    for tab in (page, other):
        expect(turns(tab)).to_have_text("Hello")
        expect(note(tab)).to_have_text("Checking your message")


def test_a_reload_keeps_what_was_not_sent_and_the_half_written(
    page: Page, connect: Connect, server: StandIn
) -> None:
    socket = connect(page)
    write(page, "Are you there?")
    sent = socket.expect("message")
    page.get_by_label("Your message").fill("half a")

    again = connect(page, "/later")  # another token of the same person

    assert again.expect("message") == sent
    again.send("accepted", id=sent["id"], trace_id=TRACE)
    again.send(
        "message",
        seq=1,
        trace_id=TRACE,
        role="user",
        text=sent["text"],
        id=sent["id"],
    )
    expect(turns(page)).to_have_text("Are you there?")
    expect(page.get_by_label("Your message")).to_have_value("half a")


def test_an_accepted_message_is_not_sent_again_after_a_reload(
    page: Page, connect: Connect
) -> None:
    socket = connect(page)
    own = ask(page, socket, "Hello")
    expect(note(page)).to_have_text("Sent")

    again = connect(page)
    expect(note(page)).to_have_text("Sent")
    again.send("message", seq=1, trace_id=TRACE, role="user", text="Hello", id=own)
    again.send("message", seq=2, trace_id=TRACE, role="assistant", text="Good day.")

    expect(turns(page)).to_have_text(["Hello", "Good day."])
    assert again.is_silent()


def test_another_person_in_the_same_tab_sees_and_sends_nothing_of_the_first(
    page: Page, connect: Connect
) -> None:
    socket = connect(page)
    write(page, "my secret")
    socket.expect("message")

    other = connect(page, "/other", conversation="c_2")

    write(page, "hello")
    assert other.expect("message")["text"] == "hello"
    expect(turns(page)).to_have_text("hello")


def test_another_conversation_is_shown_from_its_start(
    page: Page, connect: Connect, server: StandIn
) -> None:
    socket = connect(page)
    socket.send("message", seq=5, trace_id="t5", role="assistant", text="the old one")
    expect(turns(page)).to_have_text("the old one")
    socket.close()

    assert greet(server, conversation="c_2").hello["after"] == 5
    again = greet(server, conversation="c_2")
    again.send("message", seq=1, trace_id="t1", role="assistant", text="the new one")

    assert again.hello["after"] == 0
    expect(turns(page)).to_have_text("the new one")


def test_a_bad_token_is_said_and_a_reload_offered(
    page: Page, connect: Connect, server: StandIn
) -> None:
    socket = connect(page)

    socket.send("error", code="unauthorized", detail="expired")
    expect(page.locator(".strip")).to_contain_text("sign-in for this chat has expired")
    page.get_by_role("button", name="Reload the page").click()

    page.get_by_role("button", name="Chat with Autohaus Stern").click()
    greet(server)


def test_an_expired_token_is_fetched_again_from_its_address(
    page: Page, connect: Connect, server: StandIn
) -> None:
    socket = connect(page, "/fetched")
    assert socket.hello["token"] == "token-1"

    socket.send("error", code="unauthorized", detail="expired")
    again = server.next_socket()

    assert again.expect("hello")["token"] == "token-2"
    again.send("error", code="unauthorized", detail="still no")
    page.get_by_role("button", name="Try again").click()
    assert server.next_socket().expect("hello")["token"] == "token-3"


def test_what_is_written_before_there_is_a_token_is_sent_once(
    page: Page, server: StandIn
) -> None:
    server.is_refusing = True
    page.goto(f"http://{server.address}/fetched")
    page.get_by_role("button", name="Chat with Autohaus Stern").click()
    expect(page.locator(".strip")).to_contain_text("Reconnecting…")
    write(page, "Hello")

    server.is_refusing = False
    socket = greet(server)

    sent = socket.expect("message")
    socket.send("accepted", id=sent["id"], trace_id=TRACE)
    expect(note(page)).to_have_text("Sent")
    expect(turns(page)).to_have_text("Hello")
    assert socket.is_silent()


def test_messages_of_a_person_that_came_another_way_are_each_shown(
    page: Page, connect: Connect
) -> None:
    socket = connect(page)

    for seq in (1, 2):
        socket.send(
            "message", seq=seq, trace_id=f"t{seq}", role="user", text=f"by mail {seq}"
        )
    socket.send("message", trace_id="t3", role="assistant", text="without a number")

    expect(turns(page)).to_have_text(["by mail 1", "by mail 2"])


def test_no_script_has_what_a_strict_policy_refuses_or_what_stays_behind() -> None:
    scripts = list((Path(__file__).parents[2] / "static/widget").glob("*.js"))

    assert len(scripts) > 10
    for script in scripts:
        assert not re.search(
            r"innerHTML|outerHTML|insertAdjacentHTML|eval\(|\.style\b|cookie\b|localStorage",
            script.read_text().split("*/", 1)[1],
        ), script.name
