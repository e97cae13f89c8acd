from collections.abc import AsyncIterator, Iterator
from secrets import token_hex
from typing import Any

import msgspec
import pytest

from agents import topics
from agents.agent import Agent, Context, Event, Send
from agents.broker import BrokerError
from agents.cloudevents import encode_headers
from agents.runner import FAILURES_IN_ROW
from agents.topics import TOPICS
from tests.agents.stage import (
    Note,
    Stage,
    committed,
    envelope,
    letters_of,
    make_agent,
    read,
    repeat,
    texts,
)
from tests.waiting import wait_for


def fail_on_bad(event: Event[Any], ctx: Context) -> Iterator[Send]:
    if event.data.text == "bad":
        raise ValueError("it was bad")
    yield from repeat(event, ctx)


def test_a_record_that_cannot_be_read_goes_whole_to_the_dead_letters(
    stage: Stage,
) -> None:
    agent = stage.agent()
    stage.start(agent)
    value, headers = b'\x00{"text"', [("x", b"\x01\x00"), ("x", b""), ("ce_id", b"7")]

    stage.send(agent.reads[0], value=value, headers=headers, key=None)
    stage.send_all(agent.reads[0], ["good"])

    [letter] = wait_for(lambda: letters_of(agent))
    assert (letter.key, letter.value, letter.headers[:3]) == (None, value, headers)
    story = dict(letter.headers[3:])
    assert story["ilk_dlq_topic"].decode() == agent.reads[0]
    assert (story["ilk_dlq_partition"], story["ilk_dlq_offset"]) == (b"0", b"0")
    assert b"ce_type" in story["ilk_dlq_reason"]
    assert story["ilk_dlq_attempts"] == b"1"
    [raw, _] = read(agent.reads[0])
    assert story["ilk_dlq_time_ms"] == str(raw.timestamp_ms).encode()
    wait_for(lambda: sum(committed(agent).values()) == 2)
    assert texts(agent.writes[0]) == ["good"]


LARGE = 5_000_000


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"\xff\xfe\x00", "JSON"),
        (b'{"text": 7}', "Expected `str`, got `int`"),
        (b'{"words": "hello"}', "missing required field `text`"),
        (b'["text"]', "Expected `object`, got `array`"),
        (b'{"text": "a\x00b"}', "invalid"),
        (b'{"text": "\\ud800"}', ""),
        (b"[" * 100_000, ""),
        (b"", "truncated"),
        (b"x" * LARGE, "JSON"),
    ],
    ids=[
        "no text",
        "another type",
        "a field missing",
        "another shape",
        "bare NUL",
        "half a pair",
        "too deep",
        "empty",
        "5 MB",
    ],
)
def test_whatever_breaks_the_contract_is_kept_whole_and_the_good_go_on(
    stage: Stage, value: bytes, reason: str
) -> None:
    agent = stage.agent()
    stage.start(agent)

    stage.send_all(agent.reads[0], ["before"])
    stage.send(agent.reads[0], value=value)
    stage.send_all(agent.reads[0], ["after"])

    [letter] = wait_for(lambda: letters_of(agent))
    assert letter.value == value
    assert letter.key == b"k"
    story = dict(letter.headers)
    assert reason in story["ilk_dlq_reason"].decode()
    assert story["ilk_dlq_attempts"] == b"1"
    wait_for(lambda: sum(committed(agent).values()) == 3)
    assert texts(agent.writes[0]) == ["before", "after"]


@pytest.mark.parametrize("text", ["a\x00b", "y" * LARGE], ids=["NUL", "5 MB"])
def test_odd_records_that_keep_the_contract_go_on(stage: Stage, text: str) -> None:
    agent = stage.agent()
    stage.start(agent)

    stage.send_all(agent.reads[0], [text, "after"])

    wait_for(lambda: sum(committed(agent).values()) == 2)
    assert texts(agent.writes[0]) == [text, "after"]
    assert letters_of(agent) == []


def fail_for_one_key(event: Event[Any], ctx: Context) -> Iterator[Send]:
    if event.record.key == b"k1":
        raise ValueError("not this customer")
    yield from repeat(event, ctx)


def test_a_handler_that_fails_for_one_key_costs_the_other_keys_nothing(
    stage: Stage,
) -> None:
    agent = stage.agent(handle=fail_for_one_key, attempts=2)
    running = stage.start(agent)
    said = [str(number) for number in range(30)]

    stage.send_all(agent.reads[0], said, keys=3)

    wait_for(lambda: sum(committed(agent).values()) == 30)
    assert texts(agent.writes[0]) == [text for text in said if int(text) % 3 != 1]
    letters = letters_of(agent)
    assert {letter.key for letter in letters} == {b"k1"}
    assert len(letters) == 10
    assert {dict(each.headers)["ilk_dlq_attempts"] for each in letters} == {b"2"}
    assert running.runner.paused == ""


def fail_for_all(event: Event[Any], ctx: Context) -> Iterator[Send]:
    raise ValueError("the model is gone")


async def fail_for_all_async(event: Event[Any], ctx: Context) -> AsyncIterator[Send]:
    for send in fail_for_all(event, ctx):
        yield send


@pytest.mark.parametrize(
    "handler", [{"handle": fail_for_all}, {"handle_async": fail_for_all_async}]
)
def test_a_handler_that_fails_for_all_is_paused_and_its_topic_is_not_drained(
    stage: Stage, handler: dict[str, Any]
) -> None:
    agent = stage.agent(attempts=1, **handler)
    running = stage.start(agent)

    stage.send_all(agent.reads[0], [str(number) for number in range(200)])

    wait_for(lambda: running.runner.status()["state"] == "held")
    assert running.runner.status()["why"] == (
        f"{FAILURES_IN_ROW} records in a row failed: ValueError('the model is gone')"
    )
    wait_for(lambda: sum(committed(agent).values()) >= FAILURES_IN_ROW)
    assert FAILURES_IN_ROW <= len(letters_of(agent)) < 100


async def fail_always(event: Event[Any], ctx: Context) -> AsyncIterator[Send]:
    if event.data.text == "bad":
        raise ValueError("it was bad")
    for send in repeat(event, ctx):
        yield send


@pytest.mark.parametrize(
    "handler", [{"handle": fail_on_bad}, {"handle_async": fail_always}]
)
def test_a_handler_that_fails_sends_the_record_there_after_its_attempts(
    stage: Stage, handler: dict[str, Any]
) -> None:
    agent = stage.agent(attempts=2, **handler)
    running = stage.start(agent)

    stage.send_all(agent.reads[0], ["a", "bad", "b"])

    [letter] = wait_for(lambda: letters_of(agent))
    story = dict(letter.headers)
    assert msgspec.json.decode(letter.value, type=Note).text == "bad"
    assert story["ilk_dlq_reason"] == b"ValueError: it was bad"
    assert story["ilk_dlq_attempts"] == b"2"
    wait_for(lambda: sum(committed(agent).values()) == 3)
    assert texts(agent.writes[0]) == ["a", "b"]
    assert running.runner.status()["errors"] == 1


def test_a_send_that_the_register_does_not_allow_is_a_dead_letter(stage: Stage) -> None:
    agent = stage.agent(handle=lambda event, ctx: [Send("elsewhere", event.data)])
    stage.start(agent)

    stage.send_all(agent.reads[0], ["a"])

    [letter] = wait_for(lambda: letters_of(agent))
    assert b"does not declare" in dict(letter.headers)["ilk_dlq_reason"]


def test_too_many_unreadable_records_pause_the_agent_and_the_rest_stays(
    stage: Stage,
) -> None:
    agent = stage.agent()
    running = stage.start(agent)
    for _ in range(60):
        stage.send(agent.reads[0], value=b"no JSON")
    stage.send_all(agent.reads[0], ["good"])

    wait_for(lambda: running.runner.status()["state"] == "held")
    wait_for(lambda: sum(committed(agent).values()) == FAILURES_IN_ROW)

    assert "in a row failed" in running.runner.status()["why"]
    assert len(letters_of(agent)) == FAILURES_IN_ROW
    running.runner.paused = ""  # people look at it and let it go on
    wait_for(lambda: len(letters_of(agent)) == 2 * FAILURES_IN_ROW)
    running.runner.paused = ""
    wait_for(lambda: len(letters_of(agent)) == 60)
    running.runner.paused = ""
    wait_for(lambda: texts(agent.writes[0]) == ["good"])


def test_failures_that_are_not_in_a_row_do_not_pause_the_agent(stage: Stage) -> None:
    agent = stage.agent(handle=fail_on_bad, attempts=1)
    running = stage.start(agent)
    batch = ["bad"] * (FAILURES_IN_ROW - 1) + ["good"]

    stage.send_all(agent.reads[0], batch * 2)

    wait_for(lambda: sum(committed(agent).values()) == len(batch) * 2)
    assert running.runner.paused == ""


def wide(agent_out: dict[str, str], *sizes: int) -> Any:
    def handle(event: Event[Any], ctx: Context) -> list[Send]:
        return [
            Send(agent_out["name"], Note(text=token_hex(size // 2))) for size in sizes
        ]

    return handle


@pytest.mark.parametrize(
    "sizes",
    [(5_000, 10), (10, 5_000), (5_000, 5_000), (20_000_000, 10), (10, 20_000_000, 10)],
    ids=[
        "refused first",
        "refused last",
        "both refused",
        "too large at once",
        "in the middle",
    ],
)
def test_outputs_that_kafka_never_takes_make_one_dead_letter_of_their_record(
    stage: Stage, sizes: tuple[int, ...]
) -> None:
    out = {"name": stage.topic("out", max_bytes=1_000)}
    agent = stage.agent(writes=(out["name"],), handle=wide(out, *sizes))
    running = stage.start(agent)

    stage.send_all(agent.reads[0], ["a"])

    wait_for(lambda: sum(committed(agent).values()) == 1)
    [letter] = letters_of(agent)
    assert msgspec.json.decode(letter.value, type=Note).text == "a"
    assert running.runner.broken == ""


def test_a_dead_letter_that_cannot_be_written_stops_the_agent_and_commits_nothing_of_it(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    letters = stage.topic("letters", contract=None, max_bytes=500)
    monkeypatch.setattr(topics, "DEAD_LETTERS", letters)
    agent = stage.agent(handle=fail_on_bad, attempts=1)
    running = stage.start(agent)

    stage.send_all(agent.reads[0], ["a"])
    stage.send(agent.reads[0], value=b"x" * 5_000)
    stage.send_all(agent.reads[0], ["b"])

    wait_for(lambda: running.runner.status()["state"] == "broken")
    assert "dead letter could not be written" in running.runner.status()["why"]
    running.drain()
    stage.forget(running)
    assert sum(committed(agent).values()) == 1
    assert read(letters) == []


def test_a_dead_letter_that_kafka_may_take_later_is_published_again(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = stage.agent(handle=fail_on_bad, attempts=1)
    runner = stage.runner(agent)
    publish, refusals = runner._outlet._producer.publish, iter(["timed out"] * 2)

    def publish_later(topic: str, **fields: Any) -> None:
        refusal = next(refusals, "") if topic == topics.DEAD_LETTERS else ""
        if refusal:
            fields["delivered"](BrokerError(refusal, retriable=True))
        else:
            publish(topic, **fields)

    monkeypatch.setattr(runner._outlet._producer, "publish", publish_later)
    stage.run(runner)
    stage.send_all(agent.reads[0], ["bad", "good"])

    wait_for(lambda: sum(committed(agent).values()) == 2)
    assert len(letters_of(agent)) == 1
    assert (runner.broken, next(refusals, "")) == ("", "")


@pytest.mark.parametrize("sizes", [(20_000_000, 10), (10, 20_000_000)])
def test_an_output_that_arrives_does_not_stand_for_a_dead_letter_that_does_not(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, sizes: tuple[int, ...]
) -> None:
    letters = stage.topic("letters", contract=None, max_bytes=100)
    monkeypatch.setattr(topics, "DEAD_LETTERS", letters)
    out = {"name": stage.topic("out", max_bytes=1_000)}
    agent = stage.agent(writes=(out["name"],), handle=wide(out, *sizes))
    running = stage.start(agent)

    stage.send_all(agent.reads[0], ["a"])

    wait_for(lambda: running.runner.broken)
    wait_for(lambda: len(texts(out["name"])) == 1)
    running.drain()
    stage.forget(running)
    assert committed(agent) == {}


def test_a_dead_letter_that_its_reader_fails_on_is_not_written_again(
    stage: Stage,
) -> None:
    """It is there already; another one would be read again, and so for ever."""
    letters_topic, mine = topics.DEAD_LETTERS, stage.id.encode()
    failed: list[bytes] = []

    async def bury(records: Any) -> None:
        for record in records:
            if record.value == mine:
                failed.append(record.value)
                raise ValueError("cannot bury this")

    onlooker = stage.runner(stage.agent())._consumer
    agent: Agent = make_agent(
        reads=(letters_topic,),
        writes=(),
        kind="sink",
        handle_records=bury,
        batch_size=1,
        # There may be many big ones by now.
        start_offsets=lambda partitions: onlooker.ends(partitions, 10),
    )
    running = stage.start(agent)
    wait_for(lambda: running.partitions == TOPICS[letters_topic].partitions)
    stage.send(letters_topic, value=mine, headers=encode_headers(envelope()))
    stage.producer.flush(5)
    before = len(read(letters_topic))

    wait_for(lambda: failed)
    wait_for(lambda: sum(committed(agent).values()) >= before)
    assert letters_of(agent) == []
    assert running.runner.errors == 1
