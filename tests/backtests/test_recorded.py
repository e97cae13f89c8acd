"""Which recorded texts are read: each once, as it was written, the latest first."""

from typing import Any

import pytest
from django.db import connection

from agents import topics
from agents.chat.output_guard import NO_ANSWER
from agents.events import CleanedMessage, RawResponse
from controlplane.backtests import recorded
from guardrails.backtest import Origin, Text
from tests.backtests.making import (
    PASSED,
    START,
    answer,
    flagged,
    held,
    make_record,
    question,
    write,
    write_without_bytes,
)

pytestmark = pytest.mark.django_db


def read_all(at_most: int = 100) -> list[Text]:
    """By batches, as a worker does."""
    found: list[Text] = []
    cursor = recorded.begin()
    assert cursor is not None
    while True:
        batch = recorded.read(cursor, at_most=at_most)
        if not batch.records:
            return found
        found += batch.texts
        cursor = batch.cursor


def said() -> set[str]:
    return {text.text for text in read_all()}


def test_questions_and_judged_answers_are_read_with_what_they_are_about() -> None:
    write(
        question("a question", tier="gold", minute=1),
        answer("an answer", tier="pro", minute=2),
        flagged("a flagged one", minute=3),
        held("a held one", minute=4),
    )

    found = read_all()

    assert [(t.text, t.direction, t.tier, t.workflow) for t in found] == [
        ("a held one", "output", "free", "chat"),
        ("a flagged one", "output", "free", "chat"),
        ("an answer", "output", "pro", "chat"),
        ("a question", "input", "free", "chat"),
    ]
    assert all(len(text.trace_id) == 32 for text in found)


def test_what_no_model_wrote_and_no_guard_judged_is_left_out() -> None:
    turn: dict[str, Any] = {"turn_id": "t", "conversation_id": "c", "tier": "free"}
    write(
        answer("a reply"),
        answer("instead of a reply", kind="fallback"),
        held("held as it was asked", agent="input-guard"),
        held("no answer at all", team="general", error=NO_ANSWER),
        make_record(
            topics.USER_CLEANED, CleanedMessage(text="masked", verdict=PASSED, **turn)
        ),
        make_record(
            topics.RESPONSES_RAW,
            RawResponse(question="?", text="masked", backend="b", model="m", **turn),
        ),
        make_record(topics.RESPONSES_FINAL, b"{not json"),
        make_record(topics.USER_RAW, b'{"text": "\xff"}'),
    )

    assert said() == {"a reply"}


def test_a_record_that_came_twice_is_judged_once() -> None:
    first = question("again", event_id="e_1", minute=1)
    write(first, question("again", event_id="e_1", minute=2), question("other"))

    assert sorted(text.text for text in read_all()) == ["again", "other"]


def test_a_record_whose_bytes_are_no_longer_kept_is_left_out() -> None:
    write(answer("kept", minute=1))
    write_without_bytes(answer("gone", minute=2))

    assert said() == {"kept"}


@pytest.mark.parametrize("at_most", [1, 3, 7])
def test_batches_leave_nothing_out_and_say_nothing_twice(at_most: int) -> None:
    """Also where many records have one time."""
    texts = [f"text {number}" for number in range(20)]
    write(
        *(answer(text, minute=number // 8) for number, text in enumerate(texts[:10])),
        *(question(text, minute=number // 8) for number, text in enumerate(texts[10:])),
    )

    found = read_all(at_most)

    assert sorted(text.text for text in found) == sorted(texts)
    times = [text.origin.at for text in found]
    assert times == sorted(times, reverse=True)


def test_counting_stops_at_what_was_asked_for_and_at_what_there_was() -> None:
    write(*(answer("a") for _ in range(5)))
    cursor = recorded.begin()
    assert cursor is not None
    write(answer("later", minute=9))

    assert recorded.count(cursor, at_most=3) == 3
    assert recorded.count(cursor, at_most=100) == 5


def test_without_records_there_is_no_beginning() -> None:
    assert recorded.begin() is None


def test_the_index_holds_just_the_topics_that_are_read() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_get_indexdef('traces_record_texts'::regclass)")
        [definition] = cursor.fetchone()

    named = {topic for topic in topics.TOPICS if f"'{topic}'" in definition}
    assert named == set(recorded.TOPICS)


def test_texts_are_read_by_their_index() -> None:
    write(*(answer(f"text {number}", minute=number) for number in range(50)))
    cursor = recorded.begin()
    assert cursor is not None
    with connection.cursor() as look:
        look.execute("SET LOCAL enable_seqscan = off; SET LOCAL enable_sort = off")
        look.execute(f"EXPLAIN {recorded._BATCH}", [*recorded._place(cursor), 10])
        plan = "\n".join(row[0] for row in look.fetchall())

    assert "at_topic_partition_offset_idx" in plan
    assert "Seq Scan" not in plan


def test_what_is_no_judged_text_is_not_shown_either() -> None:
    reply, instead = answer("a reply"), answer("instead of it", kind="fallback")
    write(reply, instead)
    origins = [Origin(r.topic, r.partition, r.offset, START) for r in (reply, instead)]

    assert recorded.find(origins) == {origins[0]: "a reply"}
