"""Events that must wait for others go aside; those that need not are done at once, unless one of their key waits."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.agent import Agent, Context, Event, Send
from agents.execution import InlineExecutor, KeyedExecutor
from agents.ledger import Ledger
from agents.runner import Runner
from tests.agents.stage import Desk, Note, Stage, make_agent, make_work, texts
from tests.loop_thread import LoopThread
from tests.waiting import wait_for


class Handlers:
    """Write down what they are given, in the order in which they are done with it."""

    def __init__(self, rng: random.Random) -> None:
        self.done: list[tuple[bytes, int, str]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self._rng = rng

    def handle(self, event: Event[Note], ctx: Context) -> Iterator[Send]:
        self._note(event, "inline")
        yield Send("out", event.data)

    async def handle_async(
        self, event: Event[Note], ctx: Context
    ) -> AsyncIterator[Send]:
        await self.gate.wait()
        await asyncio.sleep(self._rng.choice([0, 0, 0.001]))
        self._note(event, "aside")
        yield Send("out", event.data)

    def _note(self, event: Event[Note], how: str) -> None:
        self.done.append((event.record.key or b"", event.record.offset, how))

    def agent(self) -> Agent:
        return make_agent(
            handle=self.handle, handle_async=self.handle_async, waits=does_wait
        )


def does_wait(event: Event[Note], ctx: Context) -> bool:
    if event.data.text == "bad":
        raise ValueError("nobody can tell")
    return event.data.text == "slow"


def executor_of(desk: Desk, thread: LoopThread) -> InlineExecutor:
    return InlineExecutor(desk, KeyedExecutor(desk, thread.loop))


@settings(max_examples=25, deadline=None)
@given(
    given=st.lists(st.tuples(st.integers(0, 3), st.booleans()), max_size=40),
    cuts=st.lists(st.integers(0, 40), max_size=4),
    seed=st.integers(),
)
def test_each_keys_events_are_done_in_order_however_they_go(
    given: list[tuple[int, bool]], cuts: list[int], seed: int
) -> None:
    thread = LoopThread()
    try:
        handlers = Handlers(random.Random(seed))  # noqa: S311
        desk = Desk(handlers.agent())
        executor, ledger = executor_of(desk, thread), Ledger()
        works = [
            make_work(ledger, n, key=b"%d" % key, text="slow" if slow else "quick")
            for n, (key, slow) in enumerate(given)
        ]
        for start, end in zip([0, *sorted(cuts)], [*sorted(cuts), None], strict=True):
            executor.add(works[start:end])
            executor.advance()
            executor.pass_on()
        wait_for(lambda: len(desk.ok) == len(works))
    finally:
        thread.close()

    for key in {key for key, _, _ in handlers.done}:
        offsets = [offset for of, offset, _ in handlers.done if of == key]
        assert offsets == sorted(offsets)
    ways = {offset: how for _, offset, how in handlers.done}
    assert all(ways[n] == "aside" for n, (_, slow) in enumerate(given) if slow)


def test_what_need_not_wait_passes_what_does(loop_thread: LoopThread) -> None:
    handlers = Handlers(random.Random(1))  # noqa: S311
    desk = Desk(handlers.agent())
    executor, ledger = executor_of(desk, loop_thread), Ledger()
    handlers.gate.clear()

    given = [(b"a", "slow"), (b"a", "quick"), (b"b", "quick"), (b"c", "slow")]
    executor.add(
        [
            make_work(ledger, n, key=key, text=text)
            for n, (key, text) in enumerate(given)
        ]
    )
    executor.advance()
    executor.pass_on()

    assert handlers.done == [(b"b", 2, "inline")]
    assert executor.size == 3 or ledger.running
    loop_thread.loop.call_soon_threadsafe(handlers.gate.set)
    wait_for(lambda: len(desk.ok) == 4)
    assert [done for done in handlers.done if done[0] == b"a"] == [
        (b"a", 0, "aside"),
        (b"a", 1, "aside"),
    ]
    executor.add([make_work(ledger, 4, key=b"a", text="quick")])
    wait_for(lambda: not executor._aside or not executor._aside.has(b"a"))
    executor.advance()
    assert handlers.done[-1] == (b"a", 4, "inline")


def test_what_waits_is_held_by_a_stop_like_everything(loop_thread: LoopThread) -> None:
    handlers = Handlers(random.Random(1))  # noqa: S311
    desk = Desk(handlers.agent())
    executor, ledger = executor_of(desk, loop_thread), Ledger()
    stopped = True
    desk.why = lambda _: "soft stop" if stopped else ""

    executor.add([make_work(ledger, 0, text="slow"), make_work(ledger, 1)])
    executor.advance()
    executor.pass_on()
    assert (executor.held, executor.size, handlers.done) == ("soft stop", 2, [])
    stopped = False
    executor.advance()
    executor.pass_on()

    wait_for(lambda: len(desk.ok) == 2)
    assert [offset for _, offset, _ in handlers.done] == [0, 1]


def test_one_of_which_nobody_can_tell_whether_it_waits_is_a_dead_letter(
    loop_thread: LoopThread,
) -> None:
    handlers = Handlers(random.Random(1))  # noqa: S311
    desk = Desk(handlers.agent())
    executor, ledger = executor_of(desk, loop_thread), Ledger()

    executor.add([make_work(ledger, 0, text="bad"), make_work(ledger, 1, key=b"b")])
    executor.advance()

    [(offset, error, _)] = desk.letters
    assert (offset, str(error)) == (0, "nobody can tell")
    assert desk.ok == [1]


@pytest.mark.services
def test_on_kafka_nothing_is_lost_and_no_conversation_is_out_of_order(
    stage: Stage,
) -> None:
    handlers = Handlers(random.Random(1))  # noqa: S311

    def handle(event: Event[Note], ctx: Context) -> Iterator[Send]:
        yield Send(event.record.topic.replace("in", "out", 1), event.data)

    async def handle_async(event: Event[Note], ctx: Context) -> AsyncIterator[Send]:
        async for send in handlers.handle_async(event, ctx):
            yield Send(event.record.topic.replace("in", "out", 1), send.data)

    def waits(event: Event[Any], ctx: Context) -> bool:
        return int(event.data.text) % 3 == 0

    agent = stage.agent(handle=handle, handle_async=handle_async, waits=waits)
    started_s = time.monotonic()
    running = stage.start(agent)
    assert isinstance(running.runner, Runner)
    stage.send_all(agent.reads[0], map(str, range(600)), keys=7)

    wait_for(lambda: len(texts(agent.writes[0])) == 600, timeout_s=30)
    said = [int(text) for text in texts(agent.writes[0])]
    for key in range(7):
        of_key = [number for number in said if number % 7 == key]
        assert of_key == sorted(of_key)
    assert time.monotonic() - started_s < 30
