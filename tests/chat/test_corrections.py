"""Corrections on PostgreSQL: written once, carried out by the gate, at most once each."""

import asyncio
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from django.conf import settings
from django.db import IntegrityError, transaction

from agents.host import conninfo
from agents.postgres import Database
from controlplane.chat import copies_queue, tasks
from controlplane.chat.corrections import (
    AlreadySentError,
    InvalidCorrectionError,
    ReasonError,
    Target,
    TargetError,
    TextError,
)
from controlplane.chat.models import Correction
from tests.chat.correcting import confirm, copies, reach, send, send_now, sent
from tests.chat.making import (
    CORRECTED,
    commit,
    in_a_thread,
    lift_stops,
    opened,
    put_stop,
    reply,
    rows,
    transcript_of,
)
from tests.factories import make_answer, make_copy, make_turn

pytestmark = pytest.mark.django_db(transaction=True)

MOVED_ON = ("refused", "The conversation has moved on.")


async def test_everybody_gets_it_once_and_their_turns_stay_as_they_were(
    database: Database,
) -> None:
    targets = await reach(database, "c1", "c2")
    before = await rows(database, "SELECT * FROM chat_outcome ORDER BY id")
    correction = await send(targets)

    for _ in range(2):  # Kafka may bring them again
        settled = await commit(database, *await sent())

    assert not settled.conversations
    for name in ("c1", "c2"):
        assert await transcript_of(database, name) == [
            f"1 user question t-{name}",
            f"2 assistant answer t-{name}",
            f"3 assistant {CORRECTED}",
        ]
    assert (
        await rows(
            database,
            "SELECT m.kind, m.reviewed, m.turn_id = c.turn_id, c.seq = m.seq, "
            "c.changed_at = m.delivered_at FROM chat_message m "
            "JOIN chat_correctioncopy c ON c.id = m.copy_id",
        )
        == [("correction", True, True, True, True)] * 2
    )
    assert await rows(database, "SELECT * FROM chat_outcome ORDER BY id") == before
    [counted] = await in_a_thread(lambda: list(Correction.objects.with_progress()))
    assert counted == correction
    told = vars(counted)
    assert (told["owed"], told["delivered"], told["refused"]) == (0, 2, 0)


async def test_who_wrote_it_and_each_delivery_is_in_the_log(database: Database) -> None:
    stop = uuid4()
    correction = await send(await reach(database, "c1"), stop_id=stop)
    await commit(database, *await sent())

    logged = await rows(
        database,
        "SELECT actor, action, subject, detail FROM audit_entry "
        "WHERE action LIKE 'correction%%' ORDER BY id",
    )

    sha256 = correction.text_sha256
    [record] = [fact.record_id for fact in await sent()]
    assert logged == [
        (
            "mona",
            "correction_written",
            f"correction:{correction.pk}",
            {
                "copies": 1,
                "sha256": sha256,
                "reason": "It had named the price of another car.",
                "stop": str(stop),
            },
        ),
        (
            "gate",
            "correction_delivered",
            "turn:t-c1",
            {
                "correction": str(correction.pk),
                "record": record,
                "sha256": sha256,
                "seq": 3,
            },
        ),
    ]


async def test_its_record_is_of_the_turns_trace_and_of_the_answer(
    database: Database,
) -> None:
    await send(await reach(database, "c1"))

    [fact] = await sent()

    assert (fact.turn_id, fact.source, fact.trace_id) == (
        "t-c1",
        "corrections",
        "ab" * 16,
    )
    [[key, parents]] = await rows(
        database,
        "SELECT convert_from(key, 'UTF8'), (SELECT h ->> 1 FROM "
        "jsonb_array_elements(headers) h WHERE h ->> 0 = 'ilk_parent') "
        "FROM runtime_outboxrecord",
    )
    assert (key, parents) == ("c1", "final-t-c1")


async def test_pressing_twice_is_one_correction(database: Database) -> None:
    targets, form = await reach(database, "c1"), uuid4()

    def press_twice() -> None:
        first = send_now(targets, correction_id=form)
        assert send_now(targets, correction_id=form) == first
        with pytest.raises(AlreadySentError):
            send_now(targets, correction_id=form, text="Another.")

    await in_a_thread(press_twice)

    assert await rows(database, "SELECT count(*) FROM runtime_outboxrecord") == [(1,)]
    assert await rows(
        database,
        "SELECT count(*) FROM audit_entry WHERE action = 'correction_written'",
    ) == [(1,)]


async def test_a_conversation_that_is_named_twice_gets_it_once(
    database: Database,
) -> None:
    await reach(database, "c1")
    await commit(database, opened("t2", "c1"), reply("t2", "c1"))

    await send([Target("c1", "t2", 2), Target("c1", "t-c1", 1)])

    assert await rows(
        database, "SELECT turn_id, seen_turn FROM chat_correctioncopy"
    ) == [("t2", 1)]  # about the latest answer; what somebody had not seen counts


# Moved on, and confirmed


async def test_who_has_gone_on_gets_nothing_until_a_person_confirms(
    database: Database,
) -> None:
    correction = await send(await reach(database, "c1", "c2"))
    await commit(database, opened("t2", "c1"))
    await commit(database, *await sent())

    assert await copies() == {"c1": MOVED_ON, "c2": ("delivered", "")}
    assert await transcript_of(database, "c1") == [
        "1 user question t-c1",
        "2 assistant answer t-c1",
        "3 user question t2",
    ]

    assert await confirm(correction) == 1  # what was delivered stays so
    await commit(database, opened("t3", "c1"))  # on and on
    await commit(database, *await sent())

    assert await copies() == {"c1": ("delivered", ""), "c2": ("delivered", "")}
    assert (await transcript_of(database, "c1"))[-1] == f"5 assistant {CORRECTED}"
    assert await rows(
        database,
        "SELECT confirmed, seen_turn, tries FROM chat_correctioncopy "
        "WHERE conversation_id = 'c1'",
    ) == [(True, 2, 2)]
    assert await rows(
        database,
        "SELECT actor, detail -> 'copies' FROM audit_entry "
        "WHERE action = 'correction_confirmed'",
    ) == [("ada", 1)]


# Hard stops


async def test_a_hard_stop_after_it_was_asked_for_keeps_it_back(
    database: Database,
) -> None:
    correction = await send(await reach(database, "c1"))
    await put_stop(database)
    await commit(database, *await sent())
    await lift_stops(database)
    await commit(database, *await sent())

    why = "A hard stop on everything came after it was asked for."
    assert await copies() == {"c1": ("refused", why)}
    assert len(await transcript_of(database)) == 2
    assert await rows(database, "SELECT count(*) FROM moderation_approval") == [(0,)]

    await put_stop(database)
    await confirm(correction)  # after that stop
    await commit(database, *await sent())

    assert await copies() == {"c1": ("delivered", "")}


async def test_during_a_hard_stop_what_a_person_writes_goes_out(
    database: Database,
) -> None:
    targets = await reach(database, "c1")
    await put_stop(database)
    await send(targets)

    await commit(database, *await sent())

    assert await copies() == {"c1": ("delivered", "")}


# Races and crashes


async def test_gates_that_race_and_confirmations_tell_each_of_them_once(
    database: Database,
) -> None:
    names = [f"c{number}" for number in range(12)]
    correction = await send(await reach(database, *names))
    records = await sent()

    async def gate(offset: int) -> None:
        for fact in [*records[offset:], *records[:offset]]:
            await commit(database, fact)

    await asyncio.gather(
        *(gate(offset) for offset in (0, 4, 8)),
        commit(database, *records),
        commit(database, *(opened(f"again-{name}", name) for name in names[:6])),
        confirm(correction),
    )
    await in_a_thread(copies_queue.queue_copies)  # what was locked meanwhile
    await commit(database, *await sent())

    assert (
        await rows(
            database,
            "SELECT conversation_id, count(*) FROM chat_message WHERE kind = 'correction' "
            "GROUP BY 1 HAVING count(*) <> 1",
        )
        == []
    )
    assert {state for state, _ in (await copies()).values()} == {"delivered"}
    assert await rows(
        database,
        "SELECT count(*) FROM audit_entry WHERE action = 'correction_delivered'",
    ) == [(12,)]


async def test_a_gate_that_dies_before_its_commit_has_told_nothing(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await send(await reach(database, "c1"))
    facts = await sent()

    def die(*_: Any, **__: Any) -> None:
        raise ConnectionError

    with monkeypatch.context() as patched:
        patched.setattr("controlplane.chat.settle.write", die)
        with pytest.raises(ConnectionError):
            await commit(database, *facts)

    assert await copies() == {"c1": ("owed", "")}
    await commit(database, *facts)
    assert await copies() == {"c1": ("delivered", "")}


async def test_what_a_dying_site_had_not_sent_the_next_wake_up_sends(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    targets = await reach(database, *(f"c{number:02}" for number in range(45)))
    monkeypatch.setattr(copies_queue, "BATCH", 20)
    with monkeypatch.context() as patched:
        patched.setattr(copies_queue, "MAX_UNPUBLISHED", 20)
        await send(targets)

    assert len(await sent()) == 20  # then there was no room
    await in_a_thread(tasks.queue_corrections)
    await in_a_thread(tasks.queue_corrections)

    scheduled = {each["task"] for each in settings.CELERY_BEAT_SCHEDULE.values()}
    assert tasks.queue_corrections.name in scheduled
    facts = await sent()
    assert sorted(fact.conversation_id for fact in facts) == [
        target.conversation_id for target in targets
    ]


async def test_who_is_being_answered_is_not_waited_for(database: Database) -> None:
    targets = await reach(database, "c1", "c2")
    async with await psycopg.AsyncConnection.connect(conninfo()) as busy:
        await busy.execute("SELECT FROM chat_conversation WHERE id = 'c1' FOR UPDATE")
        await send(targets)
        assert [fact.conversation_id for fact in await sent()] == ["c2"]

    await in_a_thread(copies_queue.queue_copies)
    assert [fact.conversation_id for fact in await sent()] == ["c2", "c1"]


def test_the_database_keeps_one_line_for_each_copy() -> None:
    """Whatever a gate may do: also one that has forgotten all of its rules."""
    turn = make_turn()
    make_answer(turn)
    copy = make_copy(turn, state="delivered")
    again: dict[str, dict[str, Any]] = {
        "is_one_per_turn_and_role": {"kind": "reply"},
        "is_one_per_correction_and_conversation": {
            "turn": make_turn(turn.conversation),
            "kind": "correction",
            "copy": copy,
        },
        "is_a_correction_if_it_is_a_copy": {"kind": "reply", "copy": make_copy()},
    }
    for name, fields in again.items():
        with pytest.raises(IntegrityError, match=name), transaction.atomic():
            make_answer(**({"turn": turn} | fields))


# What cannot be sent


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"text": " \r\n"}, TextError),
        ({"text": "x" * 8_001}, TextError),
        ({"text": "nu\x00l"}, TextError),
        ({"reason": "  "}, ReasonError),
        ({"reason": "x" * 2_001}, ReasonError),
    ],
)
async def test_a_text_or_reason_that_cannot_be_is_said_so(
    database: Database, fields: dict[str, str], error: type[InvalidCorrectionError]
) -> None:
    targets = await reach(database, "c1")

    with pytest.raises(error):
        await send(targets, **fields)

    assert await rows(database, "SELECT count(*) FROM chat_correction") == [(0,)]


@pytest.mark.parametrize(
    "targets",
    [
        [],
        [Target("c1", "t2", 2)],  # asked, not answered
        [Target("c1", "t-c2", 1)],
        [Target("c9", "t-c1", 1)],
    ],
    ids=["nobody", "not answered", "another's", "no conversation"],
)
async def test_whom_no_answer_has_reached_cannot_be_corrected(
    database: Database, targets: list[Target]
) -> None:
    await reach(database, "c1", "c2")
    await commit(database, opened("t2", "c1"))

    with pytest.raises(TargetError):
        await send(targets)

    assert await rows(database, "SELECT count(*) FROM chat_correction") == [(0,)]


async def test_lines_end_as_everywhere_else(database: Database) -> None:
    correction = await send(await reach(database, "c1"), text="One.\r\nTwo.\r\n ")

    assert correction.text == "One.\nTwo."
    await commit(database, *await sent())
    assert (await transcript_of(database))[-1] == "3 assistant One.\nTwo."
