"""What Kafka was given and never gave back is sent again, and stays one turn."""

from typing import Any

import msgspec
import pytest
from django.conf import settings

from agents import cloudevents, topics
from agents.broker import BrokerError
from agents.events import UserMessage
from controlplane.audit.models import Entry
from controlplane.chat import actions, ingress
from controlplane.chat.models import Turn
from controlplane.chat.resources import Resources
from controlplane.runtime.models import OutboxRecord
from tests.chat.making import commit, failed, in_a_thread, opened, rows, sweep

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("kafka_topics"),
]


async def ask(
    kept: Resources, *, seconds_ago: float, client_id: str = "m1", **fields: Any
) -> str:
    """A question that Kafka has confirmed, and that no agent has seen."""
    accepted = await ingress.submit(
        conversation_id="c1",
        client_id=client_id,
        text="What does it cost?",
        user="u1",
        tier="pro",
        **fields,
    )
    await rows(
        kept.database,
        "UPDATE chat_turn SET created_at = created_at - make_interval(secs => %(s)s), "
        "deadline_at = deadline_at - make_interval(secs => %(s)s) WHERE id = %(id)s",
        {"s": seconds_ago, "id": accepted.event_id},
    )
    return accepted.event_id


async def waiting() -> list[OutboxRecord]:
    return [row async for row in OutboxRecord.objects.unpublished().order_by("pk")]


async def test_what_never_came_back_is_sent_again_as_the_same_record(
    kept: Resources, monkeypatch: pytest.MonkeyPatch
) -> None:
    first: list[Any] = []
    publisher = kept.publisher
    publish = publisher.publish

    async def look(record: Any, *, timeout_s: float) -> None:
        first.append(record)
        await publish(record, timeout_s=timeout_s)

    monkeypatch.setattr(publisher, "publish", look)
    turn_id = await ask(kept, seconds_ago=61, wants_person=True)

    await sweep()

    [row] = await waiting()
    [record] = first
    assert msgspec.json.decode(record.value, type=UserMessage).wants_person
    assert (row.topic, bytes(row.key or b""), bytes(row.value)) == (
        topics.USER_RAW,
        record.key,
        record.value,
    )
    changing = {"ce_time"}
    said = {name: value.decode() for name, value in record.headers}
    assert {n: v for n, v in row.headers if n not in changing} == {
        name: value for name, value in said.items() if name not in changing
    }
    assert dict(row.headers)["ce_id"] == turn_id
    entry = await Entry.objects.aget(action="turn_sent_again")
    assert (entry.actor, entry.subject) == ("sweeper", f"turn:{turn_id}")
    assert entry.trace_id == cloudevents.trace_id_of(turn_id)


async def test_a_try_gets_its_time_and_none_is_added_while_kafka_takes_none(
    kept: Resources,
) -> None:
    database = kept.database
    await ask(kept, seconds_ago=61)
    await ask(kept, seconds_ago=0, client_id="m2")

    await sweep()
    await rows(database, "UPDATE chat_turn SET deadline_at = now()")
    await sweep()
    assert len(await waiting()) == 1  # the relay has not published it yet

    await OutboxRecord.objects.aupdate(published_at=OutboxRecord().created_at)
    await sweep()
    assert len(await waiting()) == 2
    assert await in_a_thread(actions.send_again) == 0

    await OutboxRecord.objects.aupdate(published_at=OutboxRecord().created_at)
    await sweep()
    assert await waiting() == []
    soonest = await Turn.objects.order_by("deadline_at").afirst()
    assert soonest is not None
    left_s = (soonest.deadline_at - OutboxRecord().created_at).total_seconds()
    assert left_s > settings.TURN_DEADLINE_S - 60


@pytest.mark.parametrize(("tried_s_ago", "is_due"), [(301, True), (299, False)])
async def test_each_try_waits_as_long_as_all_before_it_took(
    kept: Resources,
    tried_s_ago: int,
    is_due: bool,  # noqa: FBT001  # a case
) -> None:
    await ask(kept, seconds_ago=600)
    await rows(
        kept.database,
        "UPDATE chat_turn SET deadline_at = now() + make_interval(secs => %s)",
        [settings.TURN_DEADLINE_S - tried_s_ago],
    )

    await sweep()

    assert len(await waiting()) == is_due


@pytest.mark.parametrize("why", ["taken in", "failed", "too old"])
async def test_what_came_back_or_is_of_yesterday_is_left_alone(
    kept: Resources, why: str
) -> None:
    turn_id = await ask(kept, seconds_ago=86_401 if why == "too old" else 61)
    if why == "taken in":
        trace_id = cloudevents.trace_id_of(turn_id)
        await commit(kept.database, opened(turn_id, trace_id=trace_id))
    if why == "failed":
        await commit(kept.database, failed(turn_id))

    await sweep()

    assert await waiting() == []


async def test_what_kafka_did_not_confirm_is_sent_again_too(
    kept: Resources, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: Any, **__: Any) -> None:
        raise BrokerError("no answer", retriable=True)

    monkeypatch.setattr(kept.publisher, "publish", away)
    with pytest.raises(ingress.UnconfirmedError):
        await ask(kept, seconds_ago=0)
    await rows(kept.database, "UPDATE chat_turn SET deadline_at = now()")

    await sweep()

    assert len(await waiting()) == 1
