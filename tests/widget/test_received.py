"""The widget says what it has: at once for rows that come together, then at most once a second."""

from itertools import pairwise

from playwright.sync_api import Page

from tests.widget.conftest import Connect, greet
from tests.widget.stand_in import WAIT, Socket, StandIn

# When the page sent each, by its own clock: here they may come late.
NOTE_TIMES = """
window.told = [];
const send = WebSocket.prototype.send;
WebSocket.prototype.send = function (text) {
  if (JSON.parse(text).type === "received") window.told.push(performance.now());
  return send.call(this, text);
};
"""


def say(socket: Socket, seq: int) -> None:
    socket.send("message", seq=seq, trace_id=f"t{seq}", role="assistant", text=f"{seq}")


def test_what_is_shown_is_said_at_once_then_once_a_second_and_again_by_the_greeting(
    page: Page, connect: Connect, server: StandIn
) -> None:
    page.add_init_script(NOTE_TIMES)
    socket = connect(page, seq=3)
    for seq in (1, 2, 3):
        say(socket, seq)
    told = [socket.acknowledged.get(timeout=WAIT)]
    while told[-1] < 3:  # those that came in another packet
        told.append(socket.acknowledged.get(timeout=WAIT))
    say(socket, 4)
    assert socket.acknowledged.get(timeout=WAIT) == 4
    at = page.evaluate("window.told")
    assert len(at) == len(told) + 1
    assert all(later - sooner > 990 for sooner, later in pairwise(at))

    socket.close()
    again = greet(server, seq=4)
    assert again.hello["after"] == 4
    say(again, 4)  # nothing new
    say(again, 5)
    assert again.acknowledged.get(timeout=WAIT) == 5
    assert again.acknowledged.empty()
    assert again.is_silent()
