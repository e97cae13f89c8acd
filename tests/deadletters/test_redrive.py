"""Redriving and discarding one letter: the bytes, the turn, the log, and once."""

from datetime import timedelta
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError
from django.utils import timezone
from pytest_django import DjangoCaptureOnCommitCallbacks

from agents import topics
from agents.cloudevents import Headers
from controlplane.audit.models import Entry
from controlplane.chat import live
from controlplane.chat.models import Outcome
from controlplane.chat.turns import buried
from controlplane.deadletters import actions
from controlplane.deadletters.models import Letter
from controlplane.runtime.headers import headers_of
from controlplane.runtime.models import OutboxRecord
from controlplane.traces.models import TracePayload
from tests.deadletters.making import (
    failed_turn,
    headers_for,
    letter_of,
    make_letter,
)
from tests.factories import make_approval, make_turn

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("key", "value", "headers"),
    [
        (b"c_1", b'{"text": "a\\u0000b"}', headers_for()),
        (None, b"\xff\x00\xfe", [("x", b"\xff\x00"), ("x", b""), ("ü", b"\x00")]),
        (b"\x00\xff", b"", []),
        (b"", b"x" * 5_000_000, [("ilk_dlq_topic", b"forged")]),
    ],
    ids=["JSON with NUL", "no key, no text", "empty", "5 MB"],
)
def test_the_record_goes_to_its_topic_as_it_was(
    ada: User, key: bytes | None, value: bytes, headers: Headers
) -> None:
    letter = make_letter(value, key=key, headers=headers)

    actions.redrive(letter.pk, by=ada, reason="mended")

    sent = OutboxRecord.objects.get()
    assert sent.topic == "agent.requests.free"
    assert (sent.key if sent.key is None else bytes(sent.key)) == key
    assert bytes(sent.value) == value
    assert headers_of(sent.headers) == [
        *headers,
        ("ilk_redrive", b"agents.dlq/3@100"),
    ]
    letter.refresh_from_db()
    assert (letter.state, letter.decided_by, letter.sent) == ("redriven", ada, sent)
    entry = Entry.objects.get(action="letter_redriven")
    assert (entry.actor, entry.subject) == ("ada", "letter:agents.dlq/3@100")
    assert entry.detail["reason"] == "mended"
    assert entry.trace_id == letter.trace_id


def test_a_record_that_was_redriven_before_names_only_its_latest_letter(
    ada: User,
) -> None:
    letter = make_letter(headers=[("a", b"1"), ("ilk_redrive", b"agents.dlq/0@1")])

    actions.redrive(letter.pk, by=ada)

    assert headers_of(OutboxRecord.objects.get().headers) == [
        ("a", b"1"),
        ("ilk_redrive", b"agents.dlq/3@100"),
    ]


@pytest.mark.parametrize("second", ["redrive", "discard"])
@pytest.mark.parametrize("first", ["redrive", "discard"])
def test_a_letter_is_decided_on_once_and_the_second_is_told_who_was_first(
    ada: User, first: str, second: str
) -> None:
    letter = make_letter()
    getattr(actions, first)(letter.pk, by=ada, reason="first")

    with pytest.raises(actions.AlreadyDecidedError, match=r"^ada has (red|disc)"):
        getattr(actions, second)(letter.pk, by=ada, reason="second")

    assert OutboxRecord.objects.count() == (first == "redrive")
    assert Letter.objects.get().decided_why == "first"
    assert Entry.objects.count() == 1


def test_discarding_needs_a_reason_and_leaves_the_bytes(ada: User) -> None:
    letter = make_letter()
    with pytest.raises(actions.RefusedError, match="Say why"):
        actions.discard(letter.pk, by=ada, reason="  ")

    actions.discard(letter.pk, by=ada, reason="a test of the shop's")

    letter.refresh_from_db()
    assert (letter.state, letter.decided_why) == ("discarded", "a test of the shop's")
    assert TracePayload.objects.exists()
    assert not OutboxRecord.objects.exists()
    assert Entry.objects.get().action == "letter_discarded"


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"topic": ""}, "does not say which topic"),
        ({"topic": "posts"}, "posts is no topic"),
        ({"topic": topics.DEAD_LETTERS}, "is no topic"),
        ({"value": b"x" * 8_000_000}, r"8,000,\d{3} bytes; .* takes 8,000,000"),
    ],
    ids=["no topic", "unknown topic", "its own topic", "too large"],
)
def test_what_cannot_be_sent_is_refused_in_a_sentence_and_stays_open(
    ada: User, fields: dict[str, object], why: str
) -> None:
    letter = make_letter(**fields)  # type: ignore[arg-type]

    with pytest.raises(actions.RefusedError, match=why):
        actions.redrive(letter.pk, by=ada)

    letter.refresh_from_db()
    assert letter.is_open
    assert not OutboxRecord.objects.exists()
    assert not Entry.objects.exists()


def test_a_letter_whose_bytes_are_gone_cannot_be_sent(ada: User) -> None:
    letter = make_letter()
    Letter.objects.filter(pk=letter.pk).update(at=timezone.now())

    with pytest.raises(actions.RefusedError, match="no longer kept"):
        actions.redrive(letter.pk, by=ada)


@pytest.mark.parametrize("state", ["discarded", "redriven"])
def test_a_decision_without_a_person_is_no_decision(state: str) -> None:
    with pytest.raises(IntegrityError, match="decision_has_person_and_time"):
        make_letter(state=state, decided_why="because")


# The turn of a letter


def test_redriving_opens_the_failed_turn_again_for_a_whole_deadline(
    ada: User,
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    woken: list[str] = []
    monkeypatch.setattr(live, "conversations_changed", woken.extend)
    turn = failed_turn(deadline_at=timezone.now() - timedelta(minutes=9))
    other = failed_turn()

    with django_capture_on_commit_callbacks(execute=True):
        actions.redrive(letter_of(turn).pk, by=ada)

    outcome = Outcome.objects.get(turn=turn)
    assert (outcome.state, outcome.record_id, outcome.reason) == ("open", "", "")
    turn.refresh_from_db()
    assert turn.deadline_at > timezone.now() + timedelta(seconds=100)
    assert woken == [turn.conversation_id]
    entry = Entry.objects.get(action="turn_reopened")
    assert (entry.actor, entry.subject) == ("ada", f"turn:{turn.pk}")
    assert entry.trace_id == turn.trace_id
    assert entry.detail["had_failed"] == "it was bad"
    assert Outcome.objects.get(turn=other).state == "failed"


def test_a_message_that_opens_a_turn_is_named_as_it(ada: User) -> None:
    turn = failed_turn()
    headers = headers_for(uuid4().hex, id=turn.pk)
    letter = make_letter(
        b"no JSON", topic=topics.USER_RAW, agent="intake", headers=headers
    )

    actions.redrive(letter.pk, by=ada)

    assert Outcome.objects.get(turn=turn).state == "open"


def test_a_letter_that_cannot_be_read_opens_the_turn_of_its_trace(ada: User) -> None:
    turn = failed_turn()
    letter = make_letter(b"\xff", headers=headers_for(turn.trace_id))

    actions.redrive(letter.pk, by=ada)

    assert Outcome.objects.get(turn=turn).state == "open"


@pytest.mark.parametrize("agent", ["recorder", "sentiment", ""])
def test_no_answer_waits_for_an_agent_aside(ada: User, agent: str) -> None:
    turn = failed_turn()

    actions.redrive(letter_of(turn, agent=agent).pk, by=ada)

    assert Outcome.objects.get(turn=turn).state == "failed"


@pytest.mark.parametrize(
    "state", ["open", "held", "approved", "rejected", "expired", "delivered"]
)
def test_a_turn_that_has_not_failed_stays_as_it_is(ada: User, state: str) -> None:
    turn = make_turn()
    Outcome.objects.create(turn=turn, state=state, record_id="r1")

    actions.redrive(letter_of(turn).pk, by=ada)

    outcome = Outcome.objects.get(turn=turn)
    assert (outcome.state, outcome.record_id) == (state, "r1")
    assert not Entry.objects.filter(action="turn_reopened").exists()


def test_a_decision_about_which_people_were_asked_again_is_not_sent(ada: User) -> None:
    """The gate would refuse it, and nobody would hear of it."""
    turn = make_turn()
    letters = [
        make_letter(
            f'{{"turn_id": "{turn.pk}", "approval_id": "a1"}}'.encode(),
            topic=topics.RESPONSES_APPROVED,
            agent="gate",
            headers=headers_for(turn.trace_id, id=record_id),
        )
        for record_id in ("r1", "r2")
    ]
    make_approval(turn, record_id=buried("r1"))

    with pytest.raises(actions.RefusedError, match="asked again"):
        actions.redrive(letters[0].pk, by=ada)
    actions.redrive(letters[1].pk, by=ada)

    assert OutboxRecord.objects.count() == 1


def test_discarding_leaves_the_turn_failed(ada: User) -> None:
    turn = failed_turn()

    actions.discard(letter_of(turn).pk, by=ada, reason="too late")

    assert Outcome.objects.get(turn=turn).state == "failed"
