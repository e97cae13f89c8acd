"""What the output guard said of a reply is kept once, whatever stops and people make of it."""

from typing import Any

import pytest

from agents.postgres import Database
from tests.chat.making import (
    commit,
    decide,
    decided,
    failed,
    hold,
    opened,
    put_stop,
    reply,
    rows,
)

pytestmark = pytest.mark.django_db(transaction=True)


async def judged(database: Database) -> list[tuple[Any, ...]]:
    return await rows(
        database,
        "SELECT turn_id, workflow, tier, source, is_flagged FROM chat_judgement"
        " ORDER BY turn_id",
    )


async def test_the_first_record_of_a_turn_counts_with_its_tier(
    database: Database,
) -> None:
    await commit(database, opened(tier="pro"), reply(is_flagged=False))
    await commit(database, reply(record_id="other", is_flagged=True))
    await commit(database, opened("t2", "c2"), hold("t2", "c2", is_flagged=True))

    assert await judged(database) == [
        ("t1", "chat", "pro", "output-guard", False),
        ("t2", "chat", "free", "output-guard", True),
    ]


async def test_what_a_hard_stop_holds_is_not_flagged_nor_is_a_decision_a_judgement(
    database: Database,
) -> None:
    await put_stop(database)
    await commit(database, opened(), reply(is_flagged=False))
    assert await judged(database) == [("t1", "chat", "free", "output-guard", False)]
    [before] = await rows(database, "SELECT judged_at FROM chat_judgement")

    await commit(
        database, decided("approved", await decide(database), text="answer t1")
    )

    [after] = await rows(database, "SELECT judged_at FROM chat_judgement")
    assert after == before


async def test_questions_failures_and_what_people_were_asked_for_are_no_judgements(
    database: Database,
) -> None:
    await commit(database, opened(), hold(source="input-guard"))
    await commit(database, opened("t2"), failed("t2"))

    assert await judged(database) == []


async def test_its_time_is_that_of_postgresql(database: Database) -> None:
    [[before]] = await rows(database, "SELECT clock_timestamp()")
    await commit(database, opened(), reply(is_flagged=False))
    [[after]] = await rows(database, "SELECT clock_timestamp()")

    [[at]] = await rows(database, "SELECT judged_at FROM chat_judgement")
    assert before < at < after
