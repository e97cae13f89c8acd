"""Where messages come in: numbers, repeats, limits, and what is said while Kafka is away."""

import asyncio
import time
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from confluent_kafka import Consumer, TopicPartition
from django.test import override_settings

from agents import topics
from agents.agent import UnavailableError
from agents.broker import BrokerError
from agents.cloudevents import ingress_id, trace_id_of
from agents.postgres import Database
from controlplane.chat import ingress
from controlplane.chat.ingress import Accepted, submit
from controlplane.chat.resources import Resources
from controlplane.chat.settle_writes import INSERT_CONVERSATIONS
from controlplane.embedded.services import Services
from tests.chat.making import commit, opened, rows

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("kafka_topics"),
]


async def say(text: str = "hello", **fields: Any) -> Accepted:
    defaults = {"conversation_id": "c1", "client_id": "1", "user": "u_1", "tier": "pro"}
    return await submit(text=text, **(defaults | fields))


async def accepted_by_intake(
    kept: Resources, client_id: str = "1", text: str = "hello"
) -> None:
    turn = ingress_id("c1", client_id)
    await commit(kept.database, opened(turn, record_id=turn, text=text))


class Counting:
    """A publisher that counts what it passes on."""

    def __init__(self, error: Exception | None = None) -> None:
        self.topics: Counter[str] = Counter()
        self.error = error

    async def publish(self, record: Any, *, timeout_s: float) -> None:
        self.topics[record.topic] += 1
        if self.error is not None:
            raise self.error


async def test_a_message_is_a_numbered_turn_and_a_record(kept: Resources) -> None:
    accepted = await say()

    turn = ingress_id("c1", "1")
    assert accepted == Accepted(turn, trace_id_of(turn))
    assert await rows(
        kept.database,
        "SELECT id, number, client_id, text, trace_id, tier, accepted_at, "
        "extract(epoch FROM deadline_at - created_at) FROM chat_turn",
    ) == [(turn, 1, "1", "hello", accepted.trace_id, "pro", None, 120)]


async def test_fifty_messages_at_once_get_the_numbers_one_to_fifty(
    kept: Resources,
) -> None:
    await asyncio.gather(*(say(client_id=str(n)) for n in range(50)))

    numbers = await rows(kept.database, "SELECT number FROM chat_turn ORDER BY number")
    assert [number for (number,) in numbers] == list(range(1, 51))
    assert await rows(kept.database, "SELECT latest_turn FROM chat_conversation") == [
        (50,)
    ]


async def test_a_conversation_has_the_tier_of_its_newest_turn(kept: Resources) -> None:
    await say(client_id="1", tier="free")
    await say(client_id="2", tier="pro")
    await say(client_id="1", tier="free")  # no new turn

    assert await rows(
        kept.database, "SELECT client_id, tier FROM chat_turn ORDER BY number"
    ) == [("1", "free"), ("2", "pro")]
    assert await rows(kept.database, "SELECT tier FROM chat_conversation") == [("pro",)]


async def test_the_same_id_many_times_at_once_is_one_turn(kept: Resources) -> None:
    answers = await asyncio.gather(*(say() for _ in range(10)))

    assert len(set(answers)) == 1
    assert await rows(kept.database, "SELECT count(*) FROM chat_turn") == [(1,)]


async def test_what_kafka_is_known_to_have_is_not_published_again(
    kept: Resources, monkeypatch: pytest.MonkeyPatch
) -> None:
    publisher = Counting()
    monkeypatch.setattr(kept.publisher, "publish", publisher.publish)
    first = await say()
    assert await say() == first
    assert publisher.topics == {topics.USER_RAW: 2}

    await accepted_by_intake(kept)

    assert await say() == first
    assert publisher.topics == {topics.USER_RAW: 2}


@pytest.mark.parametrize(("owner", "user"), [("u_1", "u_2"), ("u_1", ""), ("", "u_1")])
async def test_the_conversation_of_another_user_is_refused(
    kept: Resources, owner: str, user: str
) -> None:
    await say("one", user=owner)

    for message in ({"client_id": "2"}, {"text": "one"}):  # a new one, and one again
        with pytest.raises(ingress.NotOwnerError, match="another user"):
            await say(user=user, **message)

    assert await rows(kept.database, "SELECT text FROM chat_turn") == [("one",)]


@pytest.mark.parametrize("user", ["u_1", ""])
async def test_a_user_goes_on_with_a_conversation_and_opens_others(
    kept: Resources, user: str
) -> None:
    await say(user=user, client_id="1")
    await say(user=user, client_id="2")
    await say(user="u_2", conversation_id="c2")

    assert await rows(
        kept.database,
        'SELECT id, "user", latest_turn FROM chat_conversation ORDER BY 1',
    ) == [("c1", user, 2), ("c2", "u_2", 1)]


async def test_of_two_users_who_open_a_conversation_at_once_one_has_it(
    kept: Resources,
) -> None:
    async with kept.database.connection() as first, first.transaction():
        await first.execute(INSERT_CONVERSATIONS, [["c1"], ["u_1"], ["pro"]])
        second = asyncio.create_task(say(user="u_2"))
        await waits_for(kept.database, first.info.backend_pid)

    with pytest.raises(ingress.NotOwnerError):
        await second
    await say("mine", user="u_1")
    assert await rows(kept.database, "SELECT text FROM chat_turn") == [("mine",)]


async def waits_for(database: Database, holder: int) -> None:
    """Wait until another transaction waits for the holder's."""
    async with asyncio.timeout(10):
        while not await rows(
            database,
            "SELECT 1 FROM pg_stat_activity WHERE %s = ANY(pg_blocking_pids(pid))",
            [holder],
        ):
            await asyncio.sleep(0.005)


async def test_an_id_with_another_text_is_refused(kept: Resources) -> None:
    await say("one")

    with pytest.raises(ingress.IdReusedError):
        await say("two")

    assert await rows(kept.database, "SELECT text FROM chat_turn") == [("one",)]


async def test_the_same_id_in_another_conversation_is_another_message(
    kept: Resources,
) -> None:
    assert await say("one") != await say("two", conversation_id="c2")


@pytest.mark.parametrize("text", ["x" * 8_192, "ä" * 4_096, "🙂" * 2_048])
async def test_a_message_may_have_8192_bytes(kept: Resources, text: str) -> None:
    await say(text)


@pytest.mark.parametrize("text", ["x" * 8_193, "ä" * 4_096 + "x", "🙂" * 2_049])
async def test_one_byte_more_is_too_long(kept: Resources, text: str) -> None:
    with pytest.raises(ingress.TooLongError, match="8192 are allowed"):
        await say(text)

    assert await rows(kept.database, "SELECT count(*) FROM chat_turn") == [(0,)]


@pytest.mark.parametrize(
    "fields",
    [
        {"text": ""},
        {"text": " \n\t"},
        {"client_id": ""},
        {"client_id": "x" * 101},
        {"client_id": "\x00"},
        {"client_id": "half a pair \ud800"},
    ],
)
async def test_a_message_without_text_or_id_is_refused(
    kept: Resources, fields: dict[str, str]
) -> None:
    with pytest.raises(ingress.BadMessageError):
        await say(**fields)


async def test_what_postgresql_cannot_hold_becomes_visible(kept: Resources) -> None:
    await say("a\x00b\ud800")

    assert await rows(kept.database, "SELECT text FROM chat_turn") == [("a␀b?",)]
    await say("a\x00b\ud800")  # the same text, so the same message


@override_settings(MESSAGES_PER_MINUTE=2)
async def test_a_third_message_within_a_minute_waits_for_the_first_to_be_a_minute_old(
    kept: Resources,
) -> None:
    await say(client_id="1")
    await say(client_id="2")

    with pytest.raises(ingress.RateLimitedError) as refusal:
        await say(client_id="3")

    assert 55 < refusal.value.retry_after_s <= 60
    await say(client_id="2")  # no new message
    await say(client_id="4", conversation_id="c2")  # another conversation
    await rows(
        kept.database,
        "UPDATE chat_turn SET created_at = now() - %s WHERE client_id = '1'",
        [timedelta(seconds=60)],
    )
    await say(client_id="3")


@pytest.mark.parametrize(
    "error",
    [
        TimeoutError(),
        BrokerError("no leader", retriable=True),
        UnavailableError("away"),
    ],
)
async def test_what_kafka_does_not_confirm_is_unconfirmed(
    kept: Resources, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    monkeypatch.setattr(kept.publisher, "publish", Counting(error).publish)

    with pytest.raises(ingress.UnconfirmedError, match=str(error) or "in time"):
        await say()


async def test_a_message_sent_again_after_kafka_froze_is_one_turn(
    kept: Resources, services: Services
) -> None:
    with override_settings(CONFIRM_TIMEOUT_S=20):
        await say(client_id="warm")  # the producer knows its broker
    assert services.kafka
    [node] = services.kafka.nodes
    node.freeze()
    try:
        with (
            override_settings(CONFIRM_TIMEOUT_S=0.5),
            pytest.raises(ingress.UnconfirmedError),
        ):
            await say()
    finally:
        node.thaw()

    with override_settings(CONFIRM_TIMEOUT_S=20):
        accepted = await say()

    assert accepted.event_id == ingress_id("c1", "1")
    assert await rows(
        kept.database, "SELECT number FROM chat_turn ORDER BY number"
    ) == [(1,), (2,)]


async def test_postgresql_away_is_unconfirmed(kept: Resources) -> None:
    await kept.database.close()

    with pytest.raises(ingress.UnconfirmedError, match="PostgreSQL"):
        await say()


async def test_the_record_in_kafka_is_the_message(
    kept: Resources, settings: Any
) -> None:
    accepted = await say(
        "What does it cost?", linked_trace="cd" * 16, client_id="kafka"
    )

    headers, value = await asyncio.to_thread(_find, settings.KAFKA, accepted.event_id)

    assert b'"text":"What does it cost?"' in value
    assert headers["ce_subject"] == b"u_1"
    assert headers["ilk_tier"] == b"pro"
    assert headers["ilk_link"] == b"cd" * 16


def _find(client: dict[str, str], event_id: str) -> tuple[dict[str, bytes], bytes]:
    consumer = Consumer(
        dict(client) | {"group.id": "test-ingress", "auto.offset.reset": "earliest"}
    )
    consumer.assign([TopicPartition(topics.USER_RAW, n, 0) for n in range(6)])
    try:
        deadline_s = time.monotonic() + 20
        while time.monotonic() < deadline_s:
            message = consumer.poll(1)
            if message is None or message.error():
                continue
            headers = dict(message.headers() or [])
            if headers.get("ce_id") == event_id.encode():
                return headers, message.value() or b""  # type: ignore[return-value]
    finally:
        consumer.close()
    raise AssertionError("not in Kafka")
