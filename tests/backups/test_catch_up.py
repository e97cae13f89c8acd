"""What a restored database takes over from the log, record by record."""

import asyncio
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import msgspec
import pytest

from agents import cloudevents, topics
from agents.cloudevents import Envelope
from agents.events import (
    ControlChange,
    DecidedResponse,
    FinalResponse,
    Payload,
    SendMail,
    UserMessage,
)
from agents.host import conninfo
from agents.postgres import Database
from agents.records import Record
from controlplane.audit.models import Entry
from controlplane.backups import actions
from controlplane.backups.catch_up import Caught, Replay
from controlplane.backups.models import Position
from controlplane.chat.models import Conversation, Message, Outcome, Turn
from controlplane.chat.turns import sha256
from controlplane.effects.actions import distrust_all
from controlplane.effects.models import Effect
from controlplane.runtime.models import ControlVersion
from controlplane.stops.models import Stop
from guardrails.verdicts import Verdict
from moderation.models import Approval, Decision
from tests.effects.making import make_effect
from tests.factories import make_approval, make_turn

pytestmark = pytest.mark.django_db(transaction=True)

THEN = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
SOON = timedelta(seconds=3)
ALLOW = Verdict(action="allow")
Say = Callable[..., Caught]


def record(topic: str, data: Payload, at: datetime, *, record_id: str = "") -> Record:
    envelope = Envelope(
        id=record_id or str(uuid4()),
        type=type(data).__name__,
        source="output-guard",
        trace_id=uuid4().hex,
    )
    return Record(
        topic=topic,
        partition=0,
        offset=0,
        timestamp_ms=int(at.timestamp() * 1000),
        key=b"c1",
        value=msgspec.json.encode(data),
        headers=cloudevents.encode_headers(envelope),
    )


def question(turn: str, at: datetime = THEN) -> Record:
    data = UserMessage(
        conversation_id="c1", text="How much?", user="u", tier="free", client_id=turn
    )
    return record(topics.USER_RAW, data, at, record_id=turn)


def answer(turn: str, at: datetime = THEN + SOON) -> Record:
    data = FinalResponse(
        turn_id=turn, conversation_id="c1", tier="free", text="A lot.", verdict=ALLOW
    )
    return record(topics.RESPONSES_FINAL, data, at)


def decision(approval: Approval | None, turn: str, **fields: Any) -> DecidedResponse:
    text = fields.pop("text", "I can give you 25 % off today.")
    defaults = {
        "turn_id": turn,
        "conversation_id": approval.turn.conversation_id if approval else "c1",
        "tier": "free",
        "approval_id": str(approval.pk if approval else uuid4()),
        "text": text,
        "text_sha256": sha256(text),
        "decided_by": "nina",
    }
    return DecidedResponse(**(defaults | fields))


def stop(kind: str, number: str, version: int, at: datetime, mode: str) -> Record:
    change = ControlChange(
        version=version,
        kind=kind,
        subject=f"stop:{number}",
        detail={"mode": mode, "scope": "everything", "value": ""},
        actor="nina",
        reason="It lies.",
    )
    return record(topics.CONTROL_HISTORY, change, at)


@pytest.fixture
def replay() -> Iterator[Say]:
    """Apply records in their order; what is known is version 1."""
    with asyncio.Runner() as runner:
        database = Database(conninfo(), max_size=1)
        runner.run(database.open())

        def apply(*records: Record) -> Caught:
            found = Caught(version=1)
            replaying = Replay(runner, database, found)
            for each in records:
                replaying.apply(each)
            replaying.flush()
            return found

        yield apply
        runner.run(database.close())


def states() -> dict[str, str]:
    return dict(Outcome.objects.values_list("turn_id", "state"))


def roles() -> list[str]:
    return list(Message.objects.order_by("seq").values_list("role", flat=True))


def test_lines_come_back_in_the_order_in_which_they_were_seen(replay: Say) -> None:
    later = THEN + timedelta(minutes=1)
    records = (
        question("t1"),
        answer("t1"),
        question("t2", later),
        answer("t2", later + SOON),
    )

    found = replay(*records)
    replay(*records)

    assert roles() == ["user", "assistant"] * 2
    assert states() == {"t1": "delivered", "t2": "delivered"}
    assert (found.records, found.conversations) == (4, {"c1"})


def test_an_answer_that_came_after_its_deadline_finds_the_turn_failed(
    replay: Say,
) -> None:
    replay(question("t1"), answer("t1", THEN + timedelta(minutes=3)))

    assert states() == {"t1": "failed"}
    assert roles() == ["user"]


def test_while_a_soft_stop_holds_no_turn_has_failed(replay: Say) -> None:
    number = str(uuid4())
    replay(
        question("t1"),
        stop("stop_requested", number, 2, THEN + SOON, "soft"),
        answer("t1", THEN + timedelta(minutes=3)),
    )

    assert states() == {"t1": "delivered"}


def test_a_turn_that_was_open_in_the_backup_has_the_deadline_that_it_had(
    replay: Say,
) -> None:
    turn = make_turn(deadline_at=THEN)
    data = FinalResponse(
        turn_id=turn.pk,
        conversation_id=turn.conversation_id,
        tier="free",
        text="A lot.",
        verdict=ALLOW,
    )
    replay(record(topics.RESPONSES_FINAL, data, THEN + timedelta(seconds=30)))

    assert states() == {turn.pk: "failed"}


def test_what_a_hard_stop_has_held_is_held_and_what_came_after_it_is_not(
    replay: Say,
) -> None:
    number, later = str(uuid4()), THEN + timedelta(minutes=5)
    found = replay(
        question("t1"),
        stop("stop_requested", number, 2, THEN + SOON / 2, "hard"),
        answer("t1"),
        stop("stop_released", number, 3, THEN + timedelta(minutes=1), "hard"),
        question("t2", later),
        answer("t2", later + SOON),
    )

    assert states() == {"t1": "held", "t2": "delivered"}
    assert (found.stops, found.version) == (2, 3)
    [kept] = Stop.objects.all()
    assert str(kept.pk) == number
    assert (kept.requested_by, kept.released_by) == ("nina", "nina")
    assert kept.released_at == THEN + timedelta(minutes=1)


def test_other_changes_are_listed_and_those_of_before_are_known(replay: Say) -> None:
    def change(version: int) -> Record:
        data = ControlChange(
            version=version,
            kind="ruleset_published",
            subject="ruleset:abc",
            detail={},
            actor="nina",
            reason="Better.",
        )
        return record(topics.CONTROL_HISTORY, data, THEN)

    found = replay(change(1), change(7))

    assert found.lost_changes == ["ruleset_published ruleset:abc, by nina: Better."]
    assert (found.stops, found.version) == (0, 7)


def test_what_cannot_be_read_is_counted_and_left(replay: Say) -> None:
    broken = msgspec.structs.replace(question("t1"), value=b"{")

    assert replay(broken).unreadable == 1
    assert states() == {}


def test_a_rejection_is_taken_over_with_the_text_that_the_user_got(
    replay: Say,
) -> None:
    approval = make_approval()
    data = decision(approval, approval.turn_id, text="Please call us.", reason="No.")
    sent = record(topics.RESPONSES_REJECTED, data, THEN)

    found = replay(sent)
    assert replay(sent).decisions == 0

    [taken] = Decision.objects.all()
    assert (taken.verdict, taken.text, taken.reason) == (
        "reject",
        "Please call us.",
        "No.",
    )
    assert taken.decided_at == THEN
    assert states() == {approval.turn_id: "rejected"}
    assert roles() == ["user", "assistant"]
    assert found.decisions == 1
    assert Entry.objects.filter(action="decision_taken_over").count() == 1


@pytest.mark.parametrize("whose", ["another's", "nobody's"])
def test_a_decision_without_its_approval_decides_nothing(
    replay: Say, whose: str
) -> None:
    approval, other = make_approval(), make_turn()
    data = decision(
        approval if whose == "another's" else None,
        other.pk,
        conversation_id=other.conversation_id,
    )

    replay(record(topics.RESPONSES_APPROVED, data, THEN))

    approval.refresh_from_db()
    assert approval.is_pending
    assert not Decision.objects.exists()
    assert "assistant" not in roles()


def test_a_decision_that_names_no_id_is_found_by_its_turn(replay: Say) -> None:
    approval = make_approval()
    data = decision(approval, approval.turn_id, approval_id="no id")

    assert actions.take_over_decision(
        data, topic=topics.RESPONSES_APPROVED, at=THEN, trace_id=""
    ) == str(approval.pk)


def test_numbers_jump_where_something_may_have_been_seen() -> None:
    one, other = make_turn().conversation, make_turn().conversation

    assert actions.skip_seqs([one.pk]) == 1
    assert actions.skip_seqs(None) == 2

    seqs = dict(Conversation.objects.values_list("pk", "latest_seq"))
    assert seqs[one.pk] == 1 + 2 * actions.SEQ_GAP
    assert seqs[other.pk] == 1 + actions.SEQ_GAP


def test_who_has_asked_for_a_person_has_asked_for_one(replay: Say) -> None:
    data = UserMessage(
        conversation_id="c1", text="A person, please.", user="u", wants_person=True
    )
    asked = record(topics.USER_RAW, data, THEN, record_id="t1")

    found = replay(asked, question("t2", THEN + SOON))
    actions.mark_wanting_a_person(found.wanting_a_person)

    wanting = dict(Turn.objects.values_list("pk", "wants_person"))
    assert wanting == {"t1": True, "t2": False}


def test_positions_are_those_of_the_latest_backup() -> None:
    actions.note_positions({("a", 0): 5, ("a", 1): 6})
    actions.note_positions({("a", 0): 7})

    assert [str(each) for each in Position.objects.all()] == ["a/0@7"]


def test_the_version_goes_on_above_all_that_kafka_has_heard_of() -> None:
    heard_of = ControlVersion.objects.get(pk=1).version + 40

    actions.record_restore(
        "monday.dump", detail={}, version=heard_of, actor="shell:root"
    )

    assert ControlVersion.objects.get(pk=1).version == heard_of + 1
    entry = Entry.objects.get(action="database_restored")
    assert entry.detail["reason"] == "restored from monday.dump"


def test_no_mail_is_sent_again_that_may_have_gone_out_since_the_backup(
    replay: Say,
) -> None:
    for state in ("waiting", "held", "failed", "unknown", "sent", "dropped"):
        make_effect(state, state=state)
    mail = SendMail(to="new@customer.example", subject="Offer", text="Here it is.")
    asked = record(topics.EMAIL_SEND, mail, THEN, record_id="r-1")

    assert distrust_all(actor="restore") == 3
    assert replay(asked).mails == 1
    assert replay(asked).mails == 0

    found = dict(Effect.objects.values_list("recipient", "state"))
    assert {name.partition("@")[0]: state for name, state in found.items()} == {
        "waiting": "unknown",
        "held": "unknown",
        "failed": "unknown",
        "unknown": "unknown",
        "sent": "sent",
        "dropped": "dropped",
        "new": "unknown",
    }
    assert Effect.objects.get(record_id="r-1").conversation_id == "c1"
    assert Entry.objects.filter(action="mails_doubted").count() == 1
    assert Entry.objects.filter(action="mail_unknown").count() == 1
