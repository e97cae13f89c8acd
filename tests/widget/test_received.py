"""The widget says what it has: at once for rows that come together, then at most once a second."""

import time

from playwright.sync_api import Page, expect

from tests.widget.conftest import Connect, greet
from tests.widget.stand_in import WAIT, Socket, StandIn


def say(socket: Socket, seq: int) -> None:
    socket.send("message", seq=seq, trace_id=f"t{seq}", role="assistant", text=f"{seq}")


def test_what_is_shown_is_said_at_once_then_once_a_second_and_again_by_the_greeting(
    page: Page, connect: Connect, server: StandIn
) -> None:
    socket = connect(page, seq=3)
    for seq in (1, 2, 3):
        say(socket, seq)
    told = socket.acknowledged.get(timeout=WAIT)
    at = time.monotonic()
    while told < 3:  # those that came in another packet
        told = socket.acknowledged.get(timeout=WAIT)
        assert time.monotonic() - at > 0.9
        at = time.monotonic()

    say(socket, 4)
    expect(page.get_by_text("4", exact=True)).to_be_visible()
    assert socket.acknowledged.get(timeout=WAIT) == 4
    assert time.monotonic() - at > 0.9

    socket.close()
    again = greet(server, seq=4)
    assert again.hello["after"] == 4
    say(again, 4)  # nothing new
    say(again, 5)
    assert again.acknowledged.get(timeout=WAIT) == 5
    assert again.acknowledged.empty()
    assert again.is_silent()
