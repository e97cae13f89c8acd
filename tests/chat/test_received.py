"""What widgets say that they have: kept in one statement a second, never lowered, never beyond what was sent."""

import asyncio
from typing import Any

import pytest

from agents.agent import UnavailableError
from agents.postgres import Database
from controlplane.chat import hub
from controlplane.chat.received import Collector
from controlplane.chat.resources import Resources, close_resources
from tests.chat.making import commit, opened, reply, rows
from tests.chat.widget import Widget

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("kafka_topics"),
]


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "TICK_S", 0.05)


async def known(database: Database) -> dict[str, int]:
    return dict(
        await rows(database, "SELECT conversation_id, seq FROM chat_received", ())
    )


async def until_known(database: Database, wanted: dict[str, int]) -> None:
    async with asyncio.timeout(5):
        while await known(database) != wanted:
            await asyncio.sleep(0.02)


async def test_what_a_widget_says_that_it_has_is_kept(kept: Resources) -> None:
    async with Widget() as widget:
        await widget.hello()
        await commit(
            kept.database,
            opened("t1", widget.conversation_id),
            reply("t1", widget.conversation_id),
        )
        assert [(await widget.receive("message"))["seq"] for _ in range(2)] == [1, 2]
        assert await known(kept.database) == {}

        await widget.send(type="received", seq=1)
        await until_known(kept.database, {widget.conversation_id: 1})
        await widget.send(type="received", seq=2)
        await until_known(kept.database, {widget.conversation_id: 2})

        for wrong in (3, 0, -1, 2**40, "2", None):
            await widget.send(type="received", seq=wrong)
            assert (await widget.receive("error"))["code"] == "bad_request"
        await widget.send(type="received", seq=1)  # another tab, which is behind
    database = Database(kept.database._pool.conninfo)  # type: ignore[arg-type]
    await close_resources()  # writes what was noted last
    await database.open()
    assert await known(database) == {widget.conversation_id: 2}
    await database.close()


async def test_a_greeting_says_it_too_and_no_more_than_there_is(
    kept: Resources,
) -> None:
    async with Widget() as widget:
        await commit(
            kept.database,
            opened("t1", widget.conversation_id),
            reply("t1", widget.conversation_id),
        )
        await widget.hello(after=99)
        await until_known(kept.database, {widget.conversation_id: 2})


async def test_it_is_refused_before_a_greeting(kept: Resources) -> None:
    async with Widget() as widget:
        await widget.send(type="received", seq=1)
        assert (await widget.receive("error"))["code"] == "unauthorized"


class Counting:
    """A database that counts statements, or is away."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.asked = 0
        self.is_away = False

    def connection(self) -> Any:
        self.asked += 1
        if self.is_away:
            raise UnavailableError("PostgreSQL: away")
        return self.database.connection()


async def test_all_of_a_second_is_one_statement_and_an_outage_forgets_nothing(
    database: Database,
) -> None:
    collector, counting = Collector(), Counting(database)
    await collector.keep(counting)  # type: ignore[arg-type]
    assert counting.asked == 0

    for name in ("c2", "c1", "c3"):
        for seq in (1, 4, 2):
            collector.note(name, seq)
    counting.is_away = True
    with pytest.raises(UnavailableError):
        await collector.keep(counting)  # type: ignore[arg-type]
    counting.is_away, counting.asked = False, 0
    collector.note("c1", 5)
    await collector.keep(counting)  # type: ignore[arg-type]
    collector.note("c1", 3)
    await collector.keep(counting)  # type: ignore[arg-type]
    await collector.keep(counting)  # type: ignore[arg-type]

    assert counting.asked == 2
    assert await known(database) == {"c1": 5, "c2": 4, "c3": 4}
