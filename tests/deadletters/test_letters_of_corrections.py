"""A correction that the gate fails on: its copy is refused, no turn is harmed, a redrive sends it."""

import pytest

from agents import topics
from agents.records import Record
from agents.tools import Tools
from agents.work import dead_letter
from controlplane.audit.models import Entry
from controlplane.runtime.models import OutboxRecord
from tests.chat.correcting import as_record, confirm, copies, reach, send, sent
from tests.chat.making import (
    CORRECTED,
    commit,
    in_a_thread,
    opened,
    put_stop,
    states_of,
    transcript_of,
)
from tests.chat.making import record as make_record
from tests.deadletters.test_reopened_turns import bury, index, redrive, tools

__all__ = ["tools"]  # the fixture
pytestmark = pytest.mark.django_db(transaction=True)

REFUSED = ("refused", "It could not be carried out: boom")


async def letter() -> Record:
    """Return the dead letter of the first record of a correction."""

    def first() -> Record:
        row = OutboxRecord.objects.filter(topic=topics.RESPONSES_APPROVED).first()
        assert row is not None
        return as_record(row)

    made = dead_letter(
        await in_a_thread(first), agent="gate", reason="boom", attempts=3
    )
    return make_record(topics.DEAD_LETTERS, headers=made.headers, value=made.value)


async def test_its_copy_is_refused_and_the_turn_stays_answered(tools: Tools) -> None:
    await send(await reach(tools.database, "c1"))

    await bury(tools, await letter())
    await bury(tools, await letter())

    assert await copies() == {"c1": REFUSED}
    assert await states_of(tools.database) == {"t-c1": "delivered"}
    await commit(tools.database, *await sent())  # Kafka brings the record again
    assert len(await transcript_of(tools.database)) == 2


async def test_sent_again_from_the_dead_letters_it_is_told_once(tools: Tools) -> None:
    await send(await reach(tools.database, "c1"))
    await bury(tools, await letter())
    await index(tools.database, await letter())

    await redrive()
    assert await copies() == {"c1": ("owed", "")}
    for fact in await sent():  # the record, and the same from the redrive
        await commit(tools.database, fact)

    assert await copies() == {"c1": ("delivered", "")}
    assert await transcript_of(tools.database) == [
        "1 user question t-c1",
        "2 assistant answer t-c1",
        f"3 assistant {CORRECTED}",
    ]
    assert await states_of(tools.database) == {"t-c1": "delivered"}
    logged = await in_a_thread(lambda: Entry.objects.get(action="correction_reopened"))
    assert (logged.actor, logged.subject) == ("ada", "turn:t-c1")


async def test_who_sends_it_again_does_not_confirm_it(tools: Tools) -> None:
    await send(await reach(tools.database, "c1"))
    await bury(tools, await letter())
    await index(tools.database, await letter())
    await commit(tools.database, opened("t2", "c1"))

    await redrive()
    await commit(tools.database, *await sent())

    assert await copies() == {"c1": ("refused", "The conversation has moved on.")}


async def test_a_letter_of_an_earlier_try_changes_nothing(tools: Tools) -> None:
    correction = await send(await reach(tools.database, "c1"))
    old = await letter()
    await bury(tools, old)
    await index(tools.database, old)
    await confirm(correction)

    await bury(tools, old)
    assert await copies() == {"c1": ("owed", "")}
    await put_stop(tools.database)
    await commit(tools.database, *await sent())
    refused = await copies()
    await redrive()

    assert refused["c1"][0] == "refused"
    assert await copies() == refused
