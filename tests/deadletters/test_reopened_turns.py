"""A turn whose dead letter is sent again: it gets its one answer, or fails again."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.db import connection

from agents import topics
from agents.events import ModelRequest
from agents.host import conninfo
from agents.postgres import Database
from agents.records import Record
from agents.tools import Tools
from agents.work import dead_letter
from controlplane.chat import sinks
from controlplane.deadletters import actions
from controlplane.deadletters.models import Letter
from controlplane.traces.sinks import record as write_to_index
from tests.chat.making import (
    TRACE,
    commit,
    opened,
    put_stop,
    reply,
    rows,
    states_of,
    sweep,
    transcript_of,
)
from tests.chat.making import record as make_record
from tests.deadletters.making import headers_for
from tests.guardrails.factories import make_masker

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
async def tools() -> AsyncIterator[Tools]:
    made = Tools(conninfo(), {}, make_masker())
    await made.database.open()
    yield made
    await made.database.close()
    await asyncio.to_thread(made.publisher.close)


def letter(turn: str = "t1", conversation: str = "c1", *, offset: int = 0) -> Record:
    request = ModelRequest(
        turn_id=turn, conversation_id=conversation, tier="free", text="hi"
    )
    failed = make_record(
        "agent.requests.free",
        value=msgspec.json.encode(request),
        headers=headers_for(TRACE),
    )
    made = dead_letter(failed, agent="responder", reason="boom", attempts=3)
    return make_record(
        topics.DEAD_LETTERS, offset=offset, headers=made.headers, value=made.value
    )


async def bury(tools: Tools, *letters: Record) -> None:
    agent = sinks.failures(tools)
    assert agent.handle_records is not None
    await agent.handle_records(letters)


async def index(database: Database, *letters: Record) -> None:
    async with database.connection() as db, db.transaction():
        await db.execute(
            "INSERT INTO traces_recorderoffset (topic, partition, next_offset) "
            "VALUES (%s, 0, 0) ON CONFLICT DO NOTHING",
            [topics.DEAD_LETTERS],
        )
        await write_to_index(db, letters, masker=make_masker())


async def redrive(*offsets: int) -> None:
    def act() -> None:
        ada, _ = User.objects.get_or_create(username="ada")
        for offset in offsets or (0,):
            actions.redrive(Letter.objects.get(offset=offset).pk, by=ada)
        connection.close()

    await sync_to_async(act, thread_sensitive=False)()


async def test_it_gets_one_answer_and_another_one_is_a_duplicate(tools: Tools) -> None:
    database = tools.database
    await commit(database, opened())
    await bury(tools, letter())
    await index(database, letter())
    assert await states_of(database) == {"t1": "failed"}

    await redrive()
    assert await states_of(database) == {"t1": "open"}
    await commit(database, reply())
    await commit(database, reply())
    await commit(database, reply(record_id="another", text="something else"))

    assert await states_of(database) == {"t1": "delivered"}
    assert await transcript_of(database) == [
        "1 user question t1",
        "2 assistant answer t1",
    ]
    assert await rows(database, "SELECT record_id FROM chat_duplicate") == [
        ("another",)
    ]


async def test_its_answer_comes_after_those_that_did_not_wait_for_it(
    tools: Tools,
) -> None:
    database = tools.database
    await commit(database, opened("t1"))
    await bury(tools, letter())
    await index(database, letter())
    await commit(database, opened("t2"), reply("t2"))

    await redrive()
    await commit(database, opened("t3"), reply("t3"))
    await commit(database, reply("t1"))

    assert [line.split(maxsplit=1)[1] for line in await transcript_of(database)] == [
        "user question t1",
        "user question t2",
        "assistant answer t2",
        "user question t3",
        "assistant answer t3",
        "assistant answer t1",
    ]


async def test_a_letter_that_was_sent_again_does_not_fail_its_turn_afterwards(
    tools: Tools,
) -> None:
    """Whoever fails turns may be behind, or read the letter twice."""
    database = tools.database
    await commit(database, opened())
    await index(database, letter())
    await redrive()

    await bury(tools, letter())

    assert await states_of(database) == {"t1": "open"}


async def test_a_redrive_waits_for_who_is_just_failing_the_turn(
    tools: Tools, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = tools.database
    await commit(database, opened())
    await index(database, letter())
    found, go_on = asyncio.Event(), asyncio.Event()
    settle_and_tell = sinks.settle_and_tell

    async def settle_later(*args: Any) -> None:
        found.set()
        await go_on.wait()
        await settle_and_tell(*args)

    monkeypatch.setattr(sinks, "settle_and_tell", settle_later)
    burying = asyncio.create_task(bury(tools, letter()))
    await found.wait()
    redriving = asyncio.create_task(redrive())
    while not await rows(
        database, "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    ):
        await asyncio.sleep(0.005)
    go_on.set()
    await asyncio.gather(burying, redriving)

    assert await states_of(database) == {"t1": "open"}
    assert await rows(database, "SELECT state FROM deadletters_letter") == [
        ("redriven",)
    ]


async def test_a_record_that_fails_again_fails_its_turn_again(tools: Tools) -> None:
    database = tools.database
    await commit(database, opened())
    await bury(tools, letter())
    await index(database, letter(), letter(offset=1))
    await redrive()

    await bury(tools, letter(offset=1))

    assert await states_of(database) == {"t1": "failed"}
    await redrive(1)
    await commit(database, reply())
    assert await states_of(database) == {"t1": "delivered"}


async def test_two_letters_of_one_turn_make_one_answer(tools: Tools) -> None:
    database = tools.database
    await commit(database, opened())
    await bury(tools, letter(), letter(offset=1))
    await index(database, letter(), letter(offset=1))

    await redrive(0, 1)
    await commit(database, reply())
    await commit(database, reply())

    assert len(await transcript_of(database)) == 2


async def test_the_sweeper_gives_it_a_whole_deadline(tools: Tools) -> None:
    database = tools.database
    await commit(database, opened())
    await rows(database, "UPDATE chat_turn SET deadline_at = now() - interval '1 hour'")
    await bury(tools, letter())
    await index(database, letter())

    await redrive()
    await sweep()
    assert await states_of(database) == {"t1": "open"}

    await rows(database, "UPDATE chat_turn SET deadline_at = now() - interval '1 s'")
    await sweep()
    assert await states_of(database) == {"t1": "failed"}


async def test_a_hard_stop_holds_its_answer(tools: Tools) -> None:
    database = tools.database
    await commit(database, opened())
    await bury(tools, letter())
    await index(database, letter())
    await put_stop(database)

    await redrive()
    await commit(database, reply())

    assert await states_of(database) == {"t1": "held"}
    assert await transcript_of(database) == ["1 user question t1"]
