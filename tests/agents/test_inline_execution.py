import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from agents.agent import Agent, Context, Event, Send, UnavailableError
from agents.chat.output_guard import handle_scored
from agents.execution import InlineExecutor, KeyedExecutor
from agents.ledger import Ledger
from agents.work import UnreadableError, Work
from tests.agents.stage import Desk, Note, make_agent, make_record, make_work


class Handler:
    """Writes down what it is given; fails as often as it is told."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.offsets: list[int] = []

    def __call__(self, event: Event[Any], ctx: Context) -> Iterator[Send]:
        self.offsets.append(event.record.offset)
        if self.failures:
            raise self.failures.pop(0)
        yield Send("out", Note(text="x"))


def make_desk(handler: Handler, **fields: Any) -> Desk:
    return Desk(make_agent(handle=handler, **fields))


def test_records_are_handled_in_the_order_of_the_log() -> None:
    handler, ledger = Handler(), Ledger()
    desk = make_desk(handler)
    executor = InlineExecutor(desk)

    executor.add([make_work(ledger, offset) for offset in range(5)])
    assert executor.size == 5
    executor.advance()

    assert handler.offsets == desk.ok == [0, 1, 2, 3, 4]
    assert (executor.size, executor.held, ledger.running) == (0, "", 0)


@pytest.mark.parametrize("attempts", [1, 2, 3])
def test_a_handler_that_fails_is_tried_as_often_as_declared_and_no_more(
    attempts: int,
) -> None:
    error = RuntimeError("no")
    handler = Handler(*[error] * 10)
    desk = make_desk(handler, attempts=attempts)
    executor = InlineExecutor(desk)

    executor.add([make_work(Ledger(), 0)])
    executor.advance()

    assert len(handler.offsets) == attempts
    assert desk.letters == [(0, error, attempts)]


def test_a_handler_that_fails_once_is_tried_again_at_once() -> None:
    handler = Handler(RuntimeError("no"))
    desk = make_desk(handler)
    executor = InlineExecutor(desk)

    executor.add([make_work(Ledger(), 0), make_work(Ledger(), 1)])
    executor.advance()

    assert handler.offsets == [0, 0, 1]
    assert (desk.ok, desk.letters) == ([0, 1], [])


def test_retries_of_one_record_do_not_count_for_the_next() -> None:
    handler = Handler(*[RuntimeError("no")] * 4)
    desk = make_desk(handler, attempts=3)
    executor = InlineExecutor(desk)
    ledger = Ledger()

    executor.add([make_work(ledger, 0), make_work(ledger, 1)])
    executor.advance()

    assert handler.offsets == [0, 0, 0, 1, 1]
    assert desk.ok == [1]


def test_what_is_held_stays_and_goes_on_when_it_may() -> None:
    handler = Handler()
    desk = make_desk(handler)
    executor = InlineExecutor(desk)
    desk.why = lambda _: "soft stop"

    executor.add([make_work(Ledger(), 0)])
    executor.advance()
    assert (executor.held, executor.size, handler.offsets) == ("soft stop", 1, [])

    desk.why = lambda _: ""
    executor.advance()
    assert (executor.held, executor.size, handler.offsets) == ("", 0, [0])


def test_a_stop_of_one_tier_lets_the_others_pass() -> None:
    handler, ledger = Handler(), Ledger()
    desk = make_desk(handler)
    executor = InlineExecutor(desk)
    desk.why = lambda work: "stopped" if work.tier == "pro" else ""

    executor.add(
        [
            make_work(ledger, 0, key=b"a", tier="pro"),
            make_work(ledger, 1, key=b"b", tier="free"),
            make_work(
                ledger, 2, key=b"a", tier="free"
            ),  # after its conversation's first
            make_work(ledger, 3, key=b"c", tier="free"),
        ]
    )
    executor.advance()

    assert handler.offsets == [1, 3]
    assert (executor.held, executor.size) == ("stopped", 2)
    assert ledger.next_offset() is None

    desk.why = lambda _: ""
    executor.advance()

    assert handler.offsets == [1, 3, 0, 2]
    assert ledger.next_offset() == 4


def test_it_may_be_stopped_between_any_two_records() -> None:
    handler, ledger = Handler(), Ledger()
    desk = make_desk(handler)
    executor = InlineExecutor(desk)
    desk.why = lambda _: "stopped" if len(handler.offsets) == 2 else ""

    executor.add([make_work(ledger, offset) for offset in range(4)])
    executor.advance()

    assert handler.offsets == [0, 1]


def test_what_was_revoked_is_dropped_even_while_all_is_held() -> None:
    handler, ledger = Handler(), Ledger()
    desk = make_desk(handler)
    executor = InlineExecutor(desk)
    desk.why = lambda _: "stopped"
    executor.add([make_work(ledger, 0)])

    ledger.revoked = True
    executor.advance()

    assert (handler.offsets, executor.size, executor.held) == ([], 0, "")


def test_an_unreadable_record_is_a_dead_letter_in_its_turn() -> None:
    handler, ledger = Handler(), Ledger()
    desk = make_desk(handler)
    executor = InlineExecutor(desk)
    problem = UnreadableError("no JSON")
    works = [make_work(ledger, 0), unreadable(ledger, 1, problem), make_work(ledger, 2)]
    desk.why = lambda work: "stopped" if work is works[1] else ""

    executor.add(works)
    executor.advance()
    assert (desk.ok, desk.letters) == ([0], [])

    desk.why = lambda _: ""
    executor.advance()
    assert (desk.ok, desk.letters) == ([0, 2], [(1, problem, 1)])


def unreadable(ledger: Ledger, offset: int, problem: UnreadableError) -> Work:
    ledger.begin(offset)
    return Work(make_record(offset=offset), ledger, None, problem)


def test_what_is_away_is_waited_for_and_never_a_dead_letter() -> None:
    handler, ledger = Handler(*[UnavailableError("index is away")] * 5), Ledger()
    desk = make_desk(handler, attempts=1)
    executor = InlineExecutor(desk)

    executor.add([make_work(ledger, 0), make_work(ledger, 1)])
    executor.advance()
    assert (executor.held, executor.size, ledger.running) == ("index is away", 2, 0)

    for _ in range(5):
        executor.advance()

    assert handler.offsets == [0, 0, 0, 0, 0, 0, 1]
    assert (desk.ok, desk.letters, executor.held) == ([0, 1], [], "")


def test_one_round_ends_in_time_however_much_waits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("agents.execution.ROUND_S", 0)
    handler, ledger = Handler(), Ledger()
    executor = InlineExecutor(make_desk(handler))

    executor.add([make_work(ledger, offset) for offset in range(5)])
    executor.advance()

    assert executor.size == 5 - len(handler.offsets) > 0


def test_an_agent_without_a_sync_handler_is_none_of_its_work() -> None:
    agent: Agent = make_agent(handle_batch=lambda _: None)

    with pytest.raises(AssertionError):
        InlineExecutor(Desk(agent))


def test_whether_a_record_waits_is_asked_of_the_rules_that_then_judge_it() -> None:
    """Of others it might have to wait for scores that nobody has asked for."""
    asked: list[Context] = []

    def handle(event: Event[Any], ctx: Context) -> Iterator[Send]:
        asked.append(ctx)
        yield Send("out", Note(text="x"))

    def waits(event: Event[Any], ctx: Context) -> bool:
        asked.append(ctx)
        return False

    desk = Desk(make_agent(handle=handle, handle_async=handle_scored, waits=waits))
    aside = KeyedExecutor(desk, asyncio.new_event_loop())
    executor = InlineExecutor(desk, aside)

    executor.add([make_work(Ledger(), 0)])
    executor.advance()

    aside._loop.close()
    assert desk.ok == [0]
    assert asked[0] is asked[1]
