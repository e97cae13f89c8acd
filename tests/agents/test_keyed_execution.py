import asyncio
import random
import sys
import threading
from collections import defaultdict
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tenacity import wait_none

from agents import execution
from agents.agent import Context, Event, Send, UnavailableError
from agents.execution import KeyedExecutor
from agents.ledger import Ledger
from agents.work import UnreadableError, Work
from tests.agents.stage import Desk, Note, make_agent, make_record, make_work, until
from tests.waiting import wait_for


@pytest.fixture(autouse=True)
def _no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execution, "wait_exponential_jitter", lambda **_: wait_none())
    monkeypatch.setattr(execution, "RECHECK_S", 0.01)


class Handler:
    """Writes down what starts and ends; may be held by a gate, and fails as it is told."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.started: list[int] = []
        self.ended: list[int] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self, event: Event[Any], ctx: Context) -> AsyncIterator[Send]:
        self.started.append(event.record.offset)
        await self.gate.wait()
        if self.failures:
            raise self.failures.pop(0)
        self.ended.append(event.record.offset)
        yield Send("out", Note(text="x"))


def make_executor(handler: Any, **fields: Any) -> tuple[KeyedExecutor, Desk]:
    desk = Desk(make_agent(handle_async=handler, **fields))
    return KeyedExecutor(desk, asyncio.get_running_loop()), desk


@settings(max_examples=20, deadline=None)
@given(
    keys=st.lists(st.integers(0, 3), min_size=1, max_size=40),
    concurrency=st.integers(1, 8),
    seed=st.integers(),
)
def test_each_keys_records_are_handled_in_order_and_never_too_many_at_once(
    keys: list[int], concurrency: int, seed: int
) -> None:
    asyncio.run(_check_order(keys, concurrency, random.Random(seed)))  # noqa: S311


async def _check_order(keys: list[int], concurrency: int, rng: random.Random) -> None:
    began: dict[bytes, list[int]] = defaultdict(list)
    busy: set[bytes] = set()
    most = 0

    async def handle(event: Event[Any], ctx: Context) -> AsyncIterator[Send]:
        nonlocal most
        key = event.record.key or b""
        assert key not in busy
        busy.add(key)
        most = max(most, len(busy))
        began[key].append(event.record.offset)
        await asyncio.sleep(rng.choice([0, 0, 0.001, 0.002]))
        busy.discard(key)
        yield Send("out", Note(text="x"))

    executor, desk = make_executor(handle, concurrency=concurrency)
    ledger = Ledger()
    works = [make_work(ledger, n, key=str(key).encode()) for n, key in enumerate(keys)]
    cut = rng.randrange(len(works) + 1)
    executor.add(works[:cut])
    await asyncio.sleep(0)
    executor.add(works[cut:])
    await until(lambda: len(desk.ok) == len(works))

    assert all(offsets == sorted(offsets) for offsets in began.values())
    assert most <= concurrency
    assert ledger.next_offset() == len(works)
    await until(lambda: not executor._running)
    assert (executor.size, executor._queues, list(executor._ready)) == (0, {}, [])


async def test_a_slow_key_does_not_keep_others_from_being_done() -> None:
    handler = Handler()
    handler.gate.clear()
    executor, desk = make_executor(handler)
    ledger = Ledger()

    executor.add([make_work(ledger, 0, key=b"slow")])
    await until(lambda: handler.started)
    handler.gate = asyncio.Event()
    handler.gate.set()
    executor.add([make_work(ledger, n, key=b"quick") for n in (1, 2)])
    await until(lambda: desk.ok == [1, 2])

    assert ledger.next_offset() is None
    assert ledger.running == 1


async def test_a_handler_that_fails_is_tried_as_often_as_declared() -> None:
    error = RuntimeError("no")
    handler = Handler(*[error] * 10)
    executor, desk = make_executor(handler, attempts=3)

    executor.add([make_work(Ledger(), 0)])
    await until(lambda: desk.letters)

    assert handler.started == [0, 0, 0]
    assert desk.letters == [(0, error, 3)]


async def test_what_is_away_is_waited_for_and_never_a_dead_letter() -> None:
    handler = Handler(*[UnavailableError("PostgreSQL: gone")] * 20)
    executor, desk = make_executor(handler, attempts=2)
    said = set[str]()
    handler.gate.clear()
    executor.add([make_work(Ledger(), 0)])
    handler.gate.set()

    while not desk.ok:
        said.add(executor.held)
        await asyncio.sleep(0)

    assert len(handler.started) == 21
    assert "PostgreSQL: gone" in said
    assert desk.letters == []
    await until(lambda: executor.held == "")


async def test_what_is_away_does_not_use_up_the_attempts() -> None:
    away, error = UnavailableError("away"), RuntimeError("no")
    handler = Handler(error, away, error, away, error)
    executor, desk = make_executor(handler, attempts=2)

    executor.add([make_work(Ledger(), 0)])
    await until(lambda: desk.ok)

    assert desk.letters == []


async def test_what_is_held_waits_and_goes_on_when_it_may() -> None:
    handler = Handler()
    executor, desk = make_executor(handler)
    desk.why = lambda _: "soft stop"
    ledger = Ledger()

    executor.add([make_work(ledger, n, key=str(n).encode()) for n in range(3)])
    await until(lambda: executor.held == "soft stop")
    assert (executor.size, handler.started) == (3, [])

    desk.why = lambda _: ""
    await until(lambda: len(desk.ok) == 3)
    assert (executor.size, executor.held) == (0, "")


async def test_a_stop_of_one_tier_lets_the_others_pass() -> None:
    handler = Handler()
    executor, desk = make_executor(handler, concurrency=2)
    desk.why = lambda work: "stopped" if work.tier == "pro" else ""
    ledger = Ledger()
    tiers = ["pro", "free", "pro", "pro", "free", "free"]

    executor.add(
        [make_work(ledger, n, key=str(n).encode(), tier=t) for n, t in enumerate(tiers)]
    )
    await until(lambda: len(desk.ok) == 3)
    assert sorted(desk.ok) == [1, 4, 5]
    assert (executor.held, executor.size) == ("stopped", 3)

    desk.why = lambda _: ""
    await until(lambda: len(desk.ok) == 6)
    assert ledger.next_offset() == 6


async def test_held_records_are_not_asked_about_again_for_each_one_that_passes() -> (
    None
):
    """Else a stop of one busy tier takes all the time of the others."""
    handler = Handler()
    executor, desk = make_executor(handler)
    asked = 0

    def why(work: Work) -> str:
        nonlocal asked
        asked += 1
        return "stopped" if work.tier == "pro" else ""

    desk.why = why
    ledger = Ledger()
    executor._loop = Slow(executor._loop)  # type: ignore[assignment]
    executor.add([make_work(ledger, n, key=b"p%d" % n, tier="pro") for n in range(500)])
    for n in range(500, 600):
        executor.add([make_work(ledger, n, key=b"f%d" % n, tier="free")])
    await until(lambda: len(desk.ok) == 100)

    assert asked < 1_000


class Slow:
    """A loop on which nothing is looked at again."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def call_later(self, delay: float, *_: Any) -> object:
        return object()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loop, name)


async def test_a_retry_is_a_start_that_a_stop_holds_and_a_drain_need_not_wait_for() -> (
    None
):
    handler = Handler(RuntimeError("once"))
    executor, desk = make_executor(handler)
    desk.why = lambda _: "soft stop" if handler.started else ""
    ledger = Ledger()

    executor.add([make_work(ledger, 0)])
    await until(lambda: executor.held == "soft stop")
    assert (handler.started, ledger.running) == ([0], 0)

    desk.why = lambda _: ""
    await until(lambda: desk.ok == [0])
    assert handler.started == [0, 0]


@pytest.mark.parametrize("why", ["", "stopping"])
async def test_what_was_revoked_is_not_tried_again(why: str) -> None:
    handler = Handler(*[UnavailableError("away")] * 3)
    executor, desk = make_executor(handler)
    ledger = Ledger()
    handler.gate.clear()
    executor.add([make_work(ledger, 0), make_work(ledger, 1)])
    await until(lambda: handler.started)

    ledger.revoked = True
    desk.why = lambda _: why
    handler.gate.set()
    await until(lambda: not executor._running and not executor.size)

    assert handler.started == [0]
    assert (desk.ok, desk.letters, executor.size) == ([], [], 0)


async def test_what_was_revoked_while_held_leaves_nothing_behind() -> None:
    handler = Handler()
    executor, desk = make_executor(handler)
    desk.why = lambda _: "stopping"
    ledger = Ledger()
    executor.add([make_work(ledger, n, key=str(n).encode()) for n in range(3)])
    await until(lambda: executor.held)

    ledger.revoked = True
    await until(lambda: executor.size == 0 and not executor._queues)

    assert handler.started == []
    await until(lambda: executor._recheck is None)


async def test_an_unreadable_record_is_a_dead_letter_in_its_turn() -> None:
    handler = Handler()
    executor, desk = make_executor(handler)
    ledger, problem = Ledger(), UnreadableError("no JSON")
    ledger.begin(0)

    executor.add([Work(make_record(), ledger, None, problem)])
    await until(lambda: desk.letters)

    assert desk.letters == [(0, problem, 1)]
    assert handler.started == []


async def test_a_desk_that_fails_is_logged_and_the_others_go_on() -> None:
    handler = Handler()
    executor, desk = make_executor(handler)
    ledger = Ledger()
    succeeded = desk.succeeded

    def refuse(work: Work, sends: Any) -> None:
        if work.record.offset == 0:
            raise RuntimeError("the desk is broken")
        succeeded(work, sends)

    desk.succeeded = refuse  # type: ignore[method-assign]
    executor.add([make_work(ledger, n) for n in range(2)])
    await until(lambda: desk.ok == [1])

    assert ledger.next_offset() is None
    executor.advance()


def test_the_count_of_what_waits_does_not_drift_between_two_threads() -> None:
    """It decides over the flow: a count that drifts up stops the agent for ever."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        asyncio.run(_add_from_another_thread())
    finally:
        sys.setswitchinterval(interval)


async def _add_from_another_thread() -> None:
    handler = Handler()
    executor, desk = make_executor(handler)
    ledger = Ledger()

    def add() -> None:
        for n in range(5_000):
            executor.add([make_work(ledger, n, key=str(n).encode())])

    thread = threading.Thread(target=add)
    thread.start()
    await until(lambda: len(desk.ok) == 5_000, timeout_s=30)
    thread.join()

    assert executor.size == 0
    wait_for(lambda: ledger.next_offset() == 5_000)
