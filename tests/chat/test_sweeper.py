"""The sweeper: nobody waits for ever, and nobody is given up while agents are stopped."""

from typing import Any

import pytest

from agents.postgres import Database
from tests.chat.making import (
    commit,
    hold,
    lift_stops,
    opened,
    put_stop,
    reply,
    rows,
    states_of,
    sweep,
    transcript_of,
)

pytestmark = pytest.mark.django_db(transaction=True)


async def age(database: Database, **ages: str) -> None:
    """Move times of everything into the past."""
    columns = {
        "deadline": "UPDATE chat_turn SET deadline_at = now() - %s::interval",
        "created": "UPDATE chat_turn SET created_at = now() - %s::interval",
        "changed": "UPDATE chat_outcome SET changed_at = now() - %s::interval",
        "released": "UPDATE stops_stop SET requested_at = now() - interval '1 day', "
        "releasing_at = now() - interval '1 day', released_at = now() - %s::interval",
    }
    for name, interval in ages.items():
        await rows(database, columns[name], [interval])


async def test_an_overdue_turn_fails_once(database: Database) -> None:
    await commit(database, opened())
    await age(database, deadline="1 second")

    await sweep()
    await sweep()

    assert await rows(database, "SELECT state, reason FROM chat_outcome") == [
        ("failed", "no answer before the deadline")
    ]
    assert await rows(
        database,
        "SELECT actor, count(*) FROM audit_entry WHERE action = 'turn_failed' GROUP BY 1",
    ) == [("sweeper", 1)]


async def test_a_turn_within_its_deadline_is_left_alone(database: Database) -> None:
    await commit(database, opened())

    await sweep()

    assert await states_of(database) == {"t1": "open"}


async def test_what_is_settled_or_held_does_not_fail(database: Database) -> None:
    await commit(database, opened("t1"), reply("t1"), opened("t2"), hold("t2"))
    await age(database, deadline="1 second")

    await sweep()

    assert await states_of(database) == {"t1": "delivered", "t2": "held"}


@pytest.mark.parametrize(
    ("scope", "value"),
    [
        ("everything", ""),
        ("workflow", "chat"),
        ("agent", "responder"),
        ("tier", "free"),
    ],
)
async def test_a_turn_waits_while_its_agents_are_stopped(
    database: Database, scope: str, value: str
) -> None:
    await commit(database, opened())
    await put_stop(database, mode="soft", scope=scope, value=value)
    await age(database, deadline="1 hour")

    await sweep()

    assert await states_of(database) == {"t1": "open"}


@pytest.mark.parametrize(
    ("scope", "value"), [("workflow", "credit"), ("tier", "enterprise")]
)
async def test_a_stop_elsewhere_is_no_reason_to_wait(
    database: Database, scope: str, value: str
) -> None:
    await commit(database, opened())
    await put_stop(database, mode="soft", scope=scope, value=value)
    await age(database, deadline="1 hour")

    await sweep()

    assert await states_of(database) == {"t1": "failed"}


async def test_agents_get_a_whole_deadline_after_a_release(
    database: Database, settings: Any
) -> None:
    settings.TURN_DEADLINE_S = 120
    await commit(database, opened())
    await put_stop(database, mode="soft")
    await lift_stops(database)
    await age(database, deadline="1 hour", released="110 seconds")
    await sweep()
    assert await states_of(database) == {"t1": "open"}

    await age(database, released="130 seconds")
    await sweep()
    assert await states_of(database) == {"t1": "failed"}


async def test_what_waits_behind_an_unconfirmed_turn_is_let_go(
    database: Database,
) -> None:
    await commit(database, opened("t2"))
    await rows(database, "UPDATE chat_turn SET number = 2")
    await rows(database, "UPDATE chat_conversation SET latest_turn = 2")
    await rows(
        database,
        "INSERT INTO chat_turn (id, conversation_id, number, client_id, text, trace_id, tier, "
        "created_at, deadline_at) VALUES ('t1', 'c1', 1, '', 'lost', '', 'free', now(), now())",
    )
    await commit(database, reply("t2"))
    assert await transcript_of(database) == ["1 user question t2"]
    await sweep()
    assert await transcript_of(database) == ["1 user question t2"]

    await age(database, created="11 seconds", changed="11 seconds")
    await sweep()

    assert await transcript_of(database) == [
        "1 user question t2",
        "2 assistant answer t2",
    ]


async def test_an_answer_whose_question_never_comes_is_let_go(
    database: Database,
) -> None:
    await commit(database, reply())
    await sweep()
    assert await transcript_of(database) == []

    await age(database, created="11 seconds", changed="11 seconds")
    await sweep()

    assert await transcript_of(database) == ["1 assistant answer t1"]
