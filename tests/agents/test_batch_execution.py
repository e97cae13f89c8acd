import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Any

import pytest
from tenacity import wait_none

from agents import execution
from agents.agent import Event, UnavailableError
from agents.batch_execution import BatchExecutor
from agents.ledger import Ledger
from agents.records import Record
from agents.work import UnreadableError, Work
from tests.agents.stage import Desk, make_agent, make_record, make_work, until


@pytest.fixture(autouse=True)
def _no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execution, "wait_exponential_jitter", lambda **_: wait_none())


class Sink:
    """Writes down its batches; refuses those that hold a bad offset."""

    def __init__(self, *bad: int) -> None:
        self.bad = set(bad)
        self.away = 0
        self.batches: list[list[int]] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self, events: Sequence[Event[Any]]) -> None:
        await self._take([event.record.offset for event in events])

    async def records(self, records: Sequence[Record]) -> None:
        await self._take([record.offset for record in records])

    async def _take(self, offsets: list[int]) -> None:
        self.batches.append(offsets)
        await self.gate.wait()
        if self.away:
            self.away -= 1
            raise UnavailableError("PostgreSQL: gone")
        if self.bad & set(offsets):
            raise ValueError(f"bad record in {offsets}")


def make_executor(sink: Sink, **fields: Any) -> tuple[BatchExecutor, Desk]:
    agent = make_agent(
        **({"handle_batch": sink, "kind": "sink", "writes": ()} | fields)
    )
    desk = Desk(agent)
    return BatchExecutor(desk, asyncio.get_running_loop()), desk


def ledger_is_done(ledger: Ledger, end: int) -> bool:
    return ledger.next_offset() == end


def make_works(ledger: Ledger, count: int) -> list[Work]:
    return [make_work(ledger, offset) for offset in range(count)]


async def test_what_waits_is_taken_in_batches_in_order() -> None:
    sink, ledger = Sink(), Ledger()
    executor, desk = make_executor(sink, batch_size=4)

    executor.add(make_works(ledger, 10))
    assert executor.size == 10
    await until(lambda: len(desk.ok) == 10)

    assert sink.batches == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert ledger.next_offset() == 10


async def test_there_is_one_batch_at_a_time() -> None:
    sink, ledger = Sink(), Ledger()
    executor, desk = make_executor(sink)
    sink.gate.clear()
    works = make_works(ledger, 3)

    executor.add(works[:1])
    await until(lambda: sink.batches)
    executor.add(works[1:])
    executor.advance()
    await asyncio.sleep(0.02)
    assert sink.batches == [[0]]

    sink.gate.set()
    await until(lambda: len(desk.ok) == 3)
    assert sink.batches == [[0], [1, 2]]


async def test_the_one_bad_record_of_a_batch_is_found_and_the_others_are_kept() -> None:
    sink, ledger = Sink(3), Ledger()
    executor, desk = make_executor(sink)

    executor.add(make_works(ledger, 6))
    await until(lambda: len(desk.ok) == 5)

    assert desk.ok == [0, 1, 2, 4, 5]
    [(offset, error, _)] = desk.letters
    assert (offset, str(error)) == (3, "bad record in [3]")


@pytest.mark.parametrize("kind", ["fails", "unreadable"])
@pytest.mark.parametrize("size", [1, 2, 7, 64])
async def test_wherever_in_a_batch_the_bad_record_is_it_alone_is_a_dead_letter(
    size: int, kind: str
) -> None:
    for position in range(size):
        sink, ledger = Sink(*[position] * (kind == "fails")), Ledger()
        executor, desk = make_executor(sink, batch_size=size)
        works = make_works(ledger, size * 2)
        if kind == "unreadable":
            works[position].event = None
            works[position].problem = UnreadableError("no JSON")

        executor.add(works)
        await until(partial(ledger_is_done, ledger, size * 2))

        assert desk.ok == [n for n in range(size * 2) if n != position]
        assert [letter[0] for letter in desk.letters] == [position]


async def test_a_batch_of_one_bad_record_is_not_tried_twice() -> None:
    sink = Sink(0)
    executor, desk = make_executor(sink)

    executor.add(make_works(Ledger(), 1))
    await until(lambda: desk.letters)

    assert sink.batches == [[0]]
    assert desk.letters[0][2] == 1


async def test_what_is_away_is_waited_for_and_never_a_dead_letter() -> None:
    sink, ledger = Sink(), Ledger()
    sink.away = 30
    executor, desk = make_executor(sink)
    said = set[str]()

    executor.add(make_works(ledger, 2))
    while not desk.ok:
        said.add(executor.held)
        await asyncio.sleep(0)

    assert "PostgreSQL: gone" in said
    assert (desk.ok, desk.letters, executor.held) == ([0, 1], [], "")
    assert len(sink.batches) == 31


async def test_a_drain_need_not_wait_for_what_is_away() -> None:
    sink, ledger = Sink(), Ledger()
    sink.away = 1_000_000
    executor, desk = make_executor(sink)

    executor.add(make_works(ledger, 2))
    await until(lambda: sink.batches and not ledger.running)
    ledger.revoked = True
    await until(lambda: executor._task is None)

    assert (desk.ok, desk.letters) == ([], [])


async def test_what_was_revoked_while_the_bad_record_is_looked_for_is_dropped() -> None:
    sink, ledger = Sink(1), Ledger()
    executor, desk = make_executor(sink)
    sink.gate.clear()
    executor.add(make_works(ledger, 2))
    await until(lambda: sink.batches)

    ledger.revoked = True
    sink.gate.set()
    await until(lambda: executor._task is None)

    assert (sink.batches, desk.ok, desk.letters) == ([[0, 1]], [], [])


async def test_too_many_bad_records_stop_it_in_the_middle_of_a_batch() -> None:
    """The rest stays, untouched, for when people let it go on."""
    sink, ledger = Sink(*range(50)), Ledger()
    executor, desk = make_executor(sink)
    desk.why = lambda _: "too many failed" if len(desk.letters) >= 3 else ""

    executor.add(make_works(ledger, 50))
    await until(lambda: executor.held == "too many failed" and executor._task is None)
    assert [letter[0] for letter in desk.letters] == [0, 1, 2]
    assert (executor.size, ledger.running) == (47, 0)

    sink.bad.clear()
    desk.why = lambda _: ""
    executor.advance()
    await until(lambda: len(desk.ok) == 47)
    assert desk.ok == list(range(3, 50))


async def test_unreadable_records_are_dead_letters_in_their_turn_and_bounded() -> None:
    sink, ledger = Sink(), Ledger()
    executor, desk = make_executor(sink)
    problem = UnreadableError("no JSON")
    works = make_works(ledger, 2)
    for offset in range(2, 50):
        ledger.begin(offset)
        works.append(Work(make_record(offset=offset), ledger, None, problem))
    desk.why = lambda _: "too many failed" if len(desk.letters) >= 20 else ""

    executor.add(works)
    await until(lambda: executor.held and executor._task is None)

    assert sink.batches == [[0, 1]]
    assert desk.letters == [(offset, problem, 1) for offset in range(2, 22)]
    assert executor.size == 28


async def test_what_is_held_waits_and_goes_on_when_it_may() -> None:
    sink, ledger = Sink(), Ledger()
    executor, desk = make_executor(sink)
    desk.why = lambda _: "switched off"

    executor.add(make_works(ledger, 2))
    await until(lambda: executor.held == "switched off")
    assert (sink.batches, executor.size) == ([], 2)

    desk.why = lambda _: ""
    executor.advance()
    await until(lambda: desk.ok == [0, 1])
    assert executor.held == ""


async def test_what_was_revoked_is_dropped_even_while_all_is_held() -> None:
    sink, ledger = Sink(), Ledger()
    executor, desk = make_executor(sink)
    desk.why = lambda _: "stopping"
    executor.add(make_works(ledger, 2))
    await until(lambda: executor.held)

    ledger.revoked = True
    executor.advance()
    await until(lambda: executor.size == 0 and executor._task is None)

    assert sink.batches == []


async def test_a_sink_of_records_gets_them_as_they_came() -> None:
    sink, ledger = Sink(1), Ledger()
    executor, desk = make_executor(sink, handle_batch=None, handle_records=sink.records)
    ledger.begin(0)
    ledger.begin(1)

    executor.add(
        [Work(make_record(offset=n, value=b"\x00"), ledger, None) for n in (0, 1)]
    )
    await until(lambda: desk.letters)

    assert sink.batches == [[0, 1], [0], [1]]
    assert desk.ok == [0]


async def test_a_desk_that_fails_is_logged_and_the_next_batch_goes_on() -> None:
    sink, ledger = Sink(), Ledger()
    executor, desk = make_executor(sink, batch_size=1)
    succeeded = desk.succeeded

    def refuse(work: Work, sends: Any) -> None:
        if work.record.offset == 0:
            raise RuntimeError("the desk is broken")
        succeeded(work, sends)

    desk.succeeded = refuse  # type: ignore[method-assign]
    executor.add(make_works(ledger, 2))
    await until(lambda: desk.ok == [1])

    assert ledger.next_offset() is None
