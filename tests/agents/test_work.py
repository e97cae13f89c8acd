import threading

import pytest

from agents import cloudevents
from agents.agent import Send
from agents.events import Payload
from agents.ledger import Ledger
from agents.topics import DEAD_LETTERS, TOPICS, Topic
from agents.work import (
    ContractError,
    UnreadableError,
    Work,
    dead_letter,
    decoders_for,
    open_letter,
    outgoing,
    read_event,
)
from tests.agents.stage import Note, envelope, make_agent, make_record, make_work


class Other(Payload, frozen=True, kw_only=True):
    text: str


@pytest.fixture(autouse=True)
def _topics(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("in", "out", "also"):
        declared = Topic(name=name, owner="test", contract=Note)
        monkeypatch.setitem(TOPICS, name, declared)
    monkeypatch.setitem(
        TOPICS, "bytes", Topic(name="bytes", owner="test", contract=None)
    )


def test_a_record_is_read_and_validated_in_one_step() -> None:
    record = make_record(
        headers=cloudevents.encode_headers(envelope(id="7", tier="pro"))
    )

    event = read_event(record, decoders_for(make_agent()))

    assert event.data == Note(text="hello")
    assert (event.id, event.envelope.tier, event.record) == ("7", "pro", record)


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"not json",
        b"[]",
        b"null",
        b'{"text": 1}',
        b"{}",
        b'{"text": "\xff"}',
        b"[" * 100_000,
        b'{"conversation_id": "c1", "text": "hi", "more": ' + b"[" * 100_000,
    ],
    ids=[
        "empty",
        "no json",
        "list",
        "null",
        "wrong type",
        "no text",
        "not UTF-8",
        "too deep",
        "too deep in a field that is ignored",
    ],
)
def test_a_value_that_is_not_the_topics_contract_is_unreadable(value: bytes) -> None:
    with pytest.raises(UnreadableError):
        read_event(make_record(value=value), decoders_for(make_agent()))


def test_a_record_without_our_headers_is_unreadable() -> None:
    with pytest.raises(UnreadableError, match="ce_id"):
        read_event(make_record(headers=[]), decoders_for(make_agent()))


def test_unknown_fields_are_ignored() -> None:
    record = make_record(value=b'{"text": "x", "new": 1}')

    assert read_event(record, decoders_for(make_agent())).data == Note(text="x")


def test_topics_of_any_bytes_have_no_decoder() -> None:
    assert set(decoders_for(make_agent(reads=("in", "bytes")))) == {"in"}


def test_what_is_sent_carries_on_the_trace_the_key_and_the_parent() -> None:
    agent = make_agent()
    work = make_work(Ledger(), 0, key=b"conversation", tier="pro")
    assert work.event is not None

    [record] = outgoing(agent, work.event, [Send("out", Note(text="x"))])

    sent = cloudevents.decode_headers(record.headers)
    assert (record.topic, record.key, record.value) == (
        "out",
        b"conversation",
        b'{"text":"x"}',
    )
    assert sent.parents == (work.event.id,)
    assert (sent.trace_id, sent.tier, sent.source) == ("a" * 32, "pro", agent.name)
    assert (sent.type, sent.workflow) == ("Note", "chat")


def test_ids_of_what_is_sent_count_per_topic_and_repeat() -> None:
    agent = make_agent(writes=("out", "also"))
    event = make_work(Ledger(), 0).event
    assert event is not None
    sends = [Send("out", Note(text=text)) for text in "ab"] + [
        Send("also", Note(text="c"))
    ]

    first, second = (outgoing(agent, event, sends) for _ in range(2))

    sent = [cloudevents.decode_headers(record.headers).id for record in first]
    assert sent == [cloudevents.decode_headers(record.headers).id for record in second]
    assert sent == [
        cloudevents.derive_id(event.id, agent.name, topic, number)
        for topic, number in [("out", 0), ("out", 1), ("also", 0)]
    ]


@pytest.mark.parametrize(
    ("send", "said"),
    [
        (Send("also", Note(text="x")), "does not declare that it writes also"),
        (Send("out", Other(text="x")), "out does not carry Other"),
    ],
)
def test_a_send_that_the_register_does_not_allow_is_refused(
    send: Send, said: str
) -> None:
    event = make_work(Ledger(), 0).event
    assert event is not None

    with pytest.raises(ContractError, match=said):
        outgoing(make_agent(), event, [send])


def test_a_dead_letter_is_the_whole_record_and_its_story() -> None:
    record = make_record(
        partition=3, offset=12, value=b"\x00\xff", headers=[("x", b"\xfe")]
    )

    letter = dead_letter(record, agent="guard", reason="no good", attempts=3)

    assert (letter.topic, letter.key, letter.value) == (DEAD_LETTERS, b"k", b"\x00\xff")
    assert letter.headers[0] == ("x", b"\xfe")
    assert dict(letter.headers[1:]) == {
        "ilk_dlq_topic": b"in",
        "ilk_dlq_partition": b"3",
        "ilk_dlq_offset": b"12",
        "ilk_dlq_time_ms": b"1700000000000",
        "ilk_dlq_agent": b"guard",
        "ilk_dlq_reason": b"no good",
        "ilk_dlq_attempts": b"3",
    }
    assert record.headers == [("x", b"\xfe")]


@pytest.mark.parametrize("reason", ["x" * 5_000, "half a pair \ud800", "\x00"])
def test_a_reason_of_any_kind_fits_into_a_dead_letter(reason: str) -> None:
    letter = dead_letter(make_record(), agent="a", reason=reason, attempts=1)

    assert 0 < len(dict(letter.headers)["ilk_dlq_reason"]) <= 2_000


def test_a_work_is_finished_when_the_last_of_its_outputs_is_acknowledged() -> None:
    ledger = Ledger()
    work = make_work(ledger, 0)

    work.expect(2)
    work.acknowledged()
    assert ledger.next_offset() is None

    work.acknowledged()
    assert ledger.next_offset() == 1


def test_a_work_without_outputs_is_finished_at_once() -> None:
    ledger = Ledger()

    make_work(ledger, 0).expect(0)

    assert ledger.next_offset() == 1


def test_acknowledgements_of_two_threads_are_all_counted() -> None:
    ledger = Ledger()
    work = make_work(ledger, 0)
    work.expect(2_000)

    def acknowledge() -> None:
        for _ in range(1_000):
            work.acknowledged()

    threads = [threading.Thread(target=acknowledge) for _ in range(2)]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert ledger.next_offset() == 1


def test_a_stop_is_compared_with_the_tier_of_the_event() -> None:
    assert make_work(Ledger(), 0, tier="pro").tier == "pro"
    assert Work(make_record(), Ledger(), None).tier == ""
    assert Work(make_record(key=None), Ledger(), None).key == b""


def test_coordinates_name_the_record() -> None:
    assert make_record(topic="t", partition=1, offset=2).coordinates == "t/1@2"


def test_a_letter_opens_to_the_headers_that_its_record_came_with() -> None:
    """Also when the record has headers of the same names, from whoever wrote it."""
    own = [("ilk_dlq_agent", b"forged"), ("x", b"\xff\x00"), ("ilk_dlq_topic", b"")]
    letter = dead_letter(
        make_record(headers=own), agent="guard", reason="no\x00JSON", attempts=3
    )

    headers, story = open_letter(letter.headers)

    assert headers == own
    assert (story["ilk_dlq_agent"], story["ilk_dlq_topic"]) == ("guard", "in")
    assert (story["ilk_dlq_reason"], story["ilk_dlq_attempts"]) == ("no\x00JSON", "3")


@pytest.mark.parametrize("headers", [[], [("a", b"1")], [("ilk_dlq_other", b"")]])
def test_what_is_no_letter_of_ours_has_no_story(
    headers: list[tuple[str, bytes]],
) -> None:
    assert open_letter(headers) == (headers, {})
