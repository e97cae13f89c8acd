"""The hub: one query for all sockets of a process, whatever becomes of one of them."""

import asyncio
from collections.abc import AsyncIterator, Iterable

import pytest
from asgiref.sync import sync_to_async
from django.db import connections

from agents.control import Control
from agents.host import conninfo
from agents.postgres import Database
from controlplane.chat import hub as hub_module
from controlplane.chat import live, transcript
from controlplane.chat.answers import Answers
from controlplane.chat.hub import Hub
from controlplane.chat.resources import Resources
from controlplane.chat.transcript import Line, OpenTurn
from controlplane.close_codes import TRY_AGAIN
from controlplane.embedded.services import Services
from tests.chat.making import commit, opened, reply, rows
from tests.chat.widget import Widget

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("kafka_topics"),
]


class FakeSocket:
    """Shows lines into a list, or breaks."""

    def __init__(self, conversation: str = "c1", *, is_broken: bool = False) -> None:
        self.conversation_id = conversation
        self.tier = "free"
        self.cursor = 0
        self.has_open_turns = False
        self.shown: list[str] = []
        self.is_broken = is_broken
        self.is_closed = False
        self.is_paused = False
        self.answers: Answers = "flowing"

    async def show(
        self,
        lines: Iterable[Line],
        turns: Iterable[OpenTurn],
        *,
        is_paused: bool,
        answers: Answers,
    ) -> None:
        if self.is_broken:
            raise ConnectionResetError
        self.is_paused = is_paused
        for line in lines:
            if line.seq > self.cursor:
                self.cursor = line.seq
                self.shown.append(line.text)
        self.has_open_turns = bool(list(turns))

    async def close(self, code: int | None = None) -> None:
        self.is_closed = True
        if self.is_broken:
            raise ConnectionResetError


@pytest.fixture
async def hub(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Hub]:
    monkeypatch.setattr(hub_module, "TICK_S", 0.05)
    running = Hub(database, Control(conninfo()))
    running.start()
    yield running
    await running.stop()


async def until(fact: object) -> None:
    async with asyncio.timeout(5):
        while not fact():  # type: ignore[operator]
            await asyncio.sleep(0.01)


async def test_a_socket_that_breaks_leaves_the_others_alone(
    hub: Hub, database: Database
) -> None:
    await commit(database, opened())
    broken, sound = FakeSocket(is_broken=True), FakeSocket()
    hub.join(broken)
    await until(lambda: broken.is_closed)

    hub.join(sound)
    await until(lambda: sound.shown)

    assert sound.shown == ["question t1"]
    assert broken not in hub._sockets


async def test_a_socket_without_open_turns_finds_what_no_push_told(
    hub: Hub, database: Database
) -> None:
    socket = FakeSocket()
    hub.join(socket)
    await until(lambda: not hub._asked)

    await commit(database, opened(), reply())

    await until(lambda: len(socket.shown) == 2)


async def test_control_state_that_nobody_follows_is_a_pause(hub: Hub) -> None:
    socket = FakeSocket()
    hub.join(socket)

    await until(lambda: socket.is_paused)


@pytest.mark.parametrize("query", ["read", "behind"])
async def test_the_hub_goes_on_after_an_error_that_nobody_expected(
    hub: Hub, database: Database, monkeypatch: pytest.MonkeyPatch, query: str
) -> None:
    works, calls = getattr(transcript, query), []

    async def breaks_once(*arguments: object) -> object:
        calls.append(arguments)
        if len(calls) == 1:
            raise ZeroDivisionError
        return await works(*arguments)

    monkeypatch.setattr(transcript, query, breaks_once)
    socket = FakeSocket()
    hub.join(socket)
    await until(lambda: len(calls) > 1)
    await commit(database, opened(), reply())

    await until(lambda: len(socket.shown) == 2)
    assert all(not task.done() for task in hub._tasks)


@pytest.mark.parametrize("count", [1, 30])
async def test_a_tick_is_one_query_however_many_sockets_there_are(
    database: Database, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    queries = []

    async def read(
        _: Database, cursors: dict[str, int]
    ) -> tuple[list[Line], list[OpenTurn]]:
        queries.append(set(cursors))
        return [], []

    async def behind(_: Database, cursors: dict[str, int]) -> set[str]:
        queries.append(set(cursors))
        return set()

    monkeypatch.setattr(transcript, "read", read)
    monkeypatch.setattr(transcript, "behind", behind)
    quiet = Hub(database, Control(conninfo()))
    for number in range(count):
        for is_open in (False, True):
            socket = FakeSocket(f"c{number}-{is_open}")
            socket.has_open_turns = is_open
            quiet._sockets.add(socket)

    await quiet._ask_the_late()
    asked, quiet._asked = quiet._asked, set()
    await quiet._refresh(asked)

    assert queries == [
        {f"c{number}-False" for number in range(count)},
        {f"c{number}-True" for number in range(count)},
    ]


async def test_nobody_connected_is_no_query(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def query(*_: object) -> None:
        raise AssertionError("a query for nobody")

    monkeypatch.setattr(transcript, "behind", query)
    monkeypatch.setattr(transcript, "read", query)

    await hub._ask_the_late()
    assert all(not task.done() for task in hub._tasks)


async def test_sockets_with_different_cursors_each_get_what_they_lack(
    hub: Hub, database: Database
) -> None:
    await commit(database, opened("t1"), reply("t1"))
    behind, ahead = FakeSocket(), FakeSocket()
    ahead.cursor = 1
    hub.join(behind)
    hub.join(ahead)

    await until(lambda: behind.shown and ahead.shown)

    assert behind.shown == ["question t1", "answer t1"]
    assert ahead.shown == ["answer t1"]


# With real sockets


async def test_a_lost_push_costs_about_a_second_and_no_message(
    kept: Resources, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def lose(*_: str) -> None:
        """Nothing is sent."""

    monkeypatch.setattr(live, "_send", lose)
    async with Widget() as one, Widget(user=one.user) as two:
        await one.hello()
        await two.hello()
        await commit(
            kept.database,
            opened("t1", one.conversation_id),
            reply("t1", one.conversation_id),
        )
        await live.wake_conversations([one.conversation_id])
        for widget in (one, two):
            assert (await widget.receive("message", timeout_s=2.5))["seq"] == 1
            assert (await widget.receive("message", timeout_s=2.5))["seq"] == 2


async def test_a_push_wakes_sockets_at_once(
    kept: Resources, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Widget() as widget:
        await widget.hello()
        await until(lambda: not kept.hub._asked)
        monkeypatch.setattr(kept.hub, "_ask_the_late", asyncio.Event().wait)
        await asyncio.sleep(hub_module.TICK_S)  # the tick that had begun
        await commit(kept.database, opened("t1", widget.conversation_id))
        await live.wake_conversations([widget.conversation_id])
        assert (await widget.receive("message"))["seq"] == 1


@pytest.fixture
async def no_stale_connections() -> AsyncIterator[None]:
    """Leave no connection of before the restart to the tests that follow."""
    yield
    await sync_to_async(connections.close_all)()
    connections["default"].close_pool()  # type: ignore[attr-defined]


@pytest.mark.long
@pytest.mark.usefixtures("no_stale_connections")
async def test_a_socket_lives_through_a_restart_of_postgresql(
    kept: Resources, services: Services
) -> None:
    assert services.postgres
    async with Widget() as widget:
        await widget.hello()
        services.postgres.stop()
        async with Widget() as unlucky:
            await unlucky.send(type="hello", token=unlucky.token)
            assert (await unlucky.receive("error", timeout_s=10))[
                "code"
            ] == "unavailable"
            assert await unlucky.closed() == TRY_AGAIN
        await asyncio.to_thread(services.postgres.start)
        await _until_it_answers(kept.database)
        await commit(kept.database, opened("t1", widget.conversation_id))
        assert (await widget.receive("message", timeout_s=20))["seq"] == 1


async def _until_it_answers(database: Database) -> None:
    async with asyncio.timeout(20):
        while True:
            try:
                await rows(database, "SELECT 1")
            except Exception:  # whatever a pool says of a dead server
                await asyncio.sleep(0.1)
            else:
                return
