"""Corrections after a restore: told as they were, and nobody is told twice."""

from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from agents import topics
from agents.events import CorrectionCopy as CopyEvent
from agents.records import Record
from agents.work import REDRIVE
from controlplane.audit.models import Entry
from controlplane.chat import copies_queue
from controlplane.chat.copies import record_id_of
from controlplane.chat.models import Correction, CorrectionCopy, Message
from controlplane.runtime.models import OutboxRecord
from tests.backups.test_catch_up import (
    SOON,
    THEN,
    Say,
    answer,
    decision,
    question,
    record,
    replay,
    states,
    stop,
)
from tests.chat.making import CORRECTED, CORRECTION
from tests.factories import make_answer, make_copy, make_turn

__all__ = ["replay"]  # the fixture
pytestmark = pytest.mark.django_db(transaction=True)

LATER = THEN + timedelta(minutes=1)


def correction(
    turn: str = "t1",
    *,
    at: datetime = LATER,
    correction_id: str = CORRECTION,
    conversation: str = "c1",
    tries: int = 1,
    **told: Any,
) -> Record:
    defaults: dict[str, Any] = {
        "correction_id": correction_id,
        "seen_turn": 1,
        "asked_at": at,
    }
    data = decision(
        None,
        turn,
        conversation_id=conversation,
        approval_id="",
        text=CORRECTED,
        decided_by="mona",
        reason="It lied.",
        correction=CopyEvent(**(defaults | told)),
    )
    own = record_id_of(correction_id, conversation, tries)
    return record(topics.RESPONSES_APPROVED, data, at + SOON, record_id=own)


def of(copy: CorrectionCopy, **fields: Any) -> Record:
    return correction(
        copy.turn_id,
        correction_id=str(copy.correction_id),
        conversation=copy.conversation_id,
        **fields,
    )


def told() -> list[str]:
    return list(
        Message.objects.filter(kind="correction").values_list("text", flat=True)
    )


def test_one_that_was_written_since_is_taken_over_and_told_once(replay: Say) -> None:
    stop_id = uuid4()
    records = question("t1"), answer("t1"), correction(stop_id=str(stop_id))

    found = replay(*records)
    assert replay(*records).corrections == 0
    copies_queue.queue_copies()  # as beat does afterwards

    assert (told(), states(), found.corrections) == (
        [CORRECTED],
        {"t1": "delivered"},
        1,
    )
    [copy] = CorrectionCopy.objects.select_related("correction")
    written = copy.correction
    assert (
        written.written_by,
        written.reason,
        written.stop_id,
        written.written_at,
    ) == (
        "mona",
        "It lied.",
        stop_id,
        LATER,
    )
    assert (copy.state, copy.seq, copy.asked_at) == ("delivered", 3, LATER)
    assert not OutboxRecord.objects.exists()
    assert Entry.objects.filter(action="correction_taken_over").count() == 1


def test_one_that_the_backup_still_owes_is_told_and_not_sent_again(replay: Say) -> None:
    turn = make_turn()
    make_answer(turn)
    copy = make_copy(turn, queued_at=None)

    found = replay(of(copy, at=copy.asked_at), of(copy, at=copy.asked_at))
    copies_queue.queue_copies()

    assert (told(), found.corrections) == ([CORRECTED], 0)
    assert not OutboxRecord.objects.exists()


def test_one_that_the_backup_has_as_told_is_not_told_twice(replay: Say) -> None:
    turn = make_turn()
    make_answer(turn)
    copy = make_copy(turn, state="delivered")

    replay(of(copy), of(copy, tries=2, confirmed=True))

    assert told() == [CORRECTED]


def test_what_was_refused_is_refused_until_a_person_had_confirmed_it(
    replay: Say,
) -> None:
    records = [question("t1"), answer("t1"), question("t2", LATER), correction()]
    replay(*records)
    [copy] = CorrectionCopy.objects.all()
    assert (told(), copy.why) == ([], "The conversation has moved on.")

    again = correction(tries=2, at=LATER + SOON, confirmed=True, seen_turn=2)
    found = replay(*records, again)
    replay(*records, again)

    copy.refresh_from_db()
    assert (copy.state, copy.tries, copy.confirmed) == ("delivered", 2, True)
    assert (told(), found.corrections) == ([CORRECTED], 1)


def test_what_a_hard_stop_had_refused_is_refused(replay: Say) -> None:
    """Also where its record came after the stop: many are sent one after the other."""
    stopped = stop("stop_requested", str(uuid4()), 2, LATER + SOON / 2, "hard")

    replay(question("t1"), answer("t1"), stopped, correction(at=LATER))

    [copy] = CorrectionCopy.objects.all()
    assert (told(), copy.state) == ([], "refused")
    assert "hard stop" in copy.why


def test_one_that_was_sent_again_from_the_dead_letters_is_told(replay: Say) -> None:
    turn = make_turn()
    make_answer(turn)
    copy = make_copy(turn, state="refused", why="It could not be carried out: boom")
    first = of(copy)
    first.headers.append((REDRIVE, b"agents.dlq/0@1"))

    replay(of(copy))
    assert told() == []
    replay(first)
    assert told() == [CORRECTED]


@pytest.mark.parametrize(
    "fields",
    [
        {"turn": "never asked"},
        {"correction_id": "no id"},
        {"tries": 1_000},
    ],
    ids=["of no turn", "of no correction", "of no try"],
)
def test_what_nobody_can_have_sent_is_told_to_nobody(
    replay: Say, fields: dict[str, Any]
) -> None:
    found = replay(question("t1"), answer("t1"), correction(**fields))

    assert (told(), found.corrections) == ([], 0)
    assert not Correction.objects.exists()
    assert states() == {"t1": "delivered"}
