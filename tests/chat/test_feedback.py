"""What users say of answers: kept once for each, sent on in order, shown again, and bounded."""

from typing import Any

import msgspec
import pytest
from django.db import DatabaseError

from agents import topics
from agents.events import Feedback as FeedbackEvent
from controlplane.chat import actions, consumers
from controlplane.chat.models import Feedback
from controlplane.chat.resources import Resources
from controlplane.runtime.models import OutboxRecord
from tests.chat.making import TRACE, commit, opened, reply, rows
from tests.chat.widget import Widget
from tests.factories import make_turn

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("kafka_topics"),
]

ANSWER = 2  # the question has number 1


async def answered(kept: Resources, widget: Widget) -> None:
    """A widget whose user has read one answer."""
    await commit(kept.database, opened("t1", widget.conversation_id, user="u_1"))
    await commit(kept.database, reply("t1", widget.conversation_id))
    await widget.hello()


async def rate(widget: Widget, rating: str, **fields: Any) -> dict[str, Any]:
    """Say it; return the server's answer."""
    await widget.send(
        **({"type": "feedback", "seq": ANSWER, "rating": rating} | fields)
    )
    while (frame := await widget.next())["type"] not in {"feedback", "error"}:
        pass
    return frame


async def kept_ratings(kept: Resources) -> list[tuple[Any, ...]]:
    return await rows(kept.database, "SELECT rating, reason FROM chat_feedback")


async def sent_on() -> list[FeedbackEvent]:
    return [
        msgspec.json.decode(bytes(row.value), type=FeedbackEvent)
        async for row in OutboxRecord.objects.filter(
            topic=topics.TRAINING_FEEDBACK
        ).order_by("pk")
    ]


async def test_a_rating_is_kept_sent_on_and_shown_after_a_reconnect(
    kept: Resources,
) -> None:
    async with Widget(user="ada") as widget:
        await answered(kept, widget)
        taken = await rate(widget, "down", reason=" wrong: it costs\x00 more ")
    async with Widget(user="ada") as again:
        await again.hello()
        lines = [await again.receive("message") for _ in range(2)]

    assert taken == {"type": "feedback", "seq": ANSWER, "rating": "down"}
    assert await kept_ratings(kept) == [("down", "wrong: it costs\u2400 more")]
    assert [line.get("rating") for line in lines] == [None, "down"]
    [said] = await sent_on()
    assert (said.turn_id, said.seq, said.rating) == ("t1", ANSWER, "down")
    assert said.reason == "wrong: it costs\u2400 more"
    row = await OutboxRecord.objects.aget(topic=topics.TRAINING_FEEDBACK)
    assert bytes(row.key or b"") == again.conversation_id.encode()
    headers = {name: str(value) for name, value in row.headers}
    assert TRACE in headers["traceparent"]
    assert headers["ce_type"] == "Feedback"


async def test_the_last_word_counts_and_the_same_again_is_nothing(
    kept: Resources,
) -> None:
    async with Widget() as widget:
        await answered(kept, widget)
        for rating, reason in [("up", ""), ("up", ""), ("down", "wrong"), ("up", "")]:
            await rate(widget, rating, reason=reason)

    assert await kept_ratings(kept) == [("up", "")]
    assert [said.rating for said in await sent_on()] == ["up", "down", "up"]
    ids = {
        dict(row.headers)["ce_id"]
        async for row in OutboxRecord.objects.filter(topic=topics.TRAINING_FEEDBACK)
    }
    assert len(ids) == 3


NO_RATINGS: list[tuple[dict[str, Any], str]] = [
    ({"seq": 1}, "bad_request"),  # a question
    ({"seq": 9}, "bad_request"),
    ({"seq": -1}, "bad_request"),
    ({"seq": 2**62}, "bad_request"),
    ({"reason": "x" * 501}, "too_long"),
]


async def test_what_is_no_rating_of_an_answer_of_ones_own_is_refused_by_its_number(
    kept: Resources,
) -> None:
    async with Widget() as widget, Widget() as stranger:
        await answered(kept, widget)
        for frame, code in NO_RATINGS:
            error = await rate(widget, "up", **frame)
            assert (error["type"], error["code"]) == ("error", code), frame
            assert error["seq"] == frame.get("seq", ANSWER)
        await stranger.hello()
        assert (await rate(stranger, "down"))["code"] == "bad_request"

    assert await kept_ratings(kept) == []
    assert await sent_on() == []


@pytest.mark.parametrize(
    ("module", "limit"), [(consumers, "RATINGS_MAX"), (actions, "TIMES_GIVEN_MAX")]
)
async def test_ratings_are_limited(
    kept: Resources, monkeypatch: pytest.MonkeyPatch, module: Any, limit: str
) -> None:
    monkeypatch.setattr(module, limit, 1)
    async with Widget() as widget:
        await answered(kept, widget)
        assert (await rate(widget, "up"))["type"] == "feedback"
        assert (await rate(widget, "down"))["code"] == "rate_limited"

    assert await kept_ratings(kept) == [("up", "")]


async def test_a_conversation_that_stays_locked_is_not_waited_for(
    kept: Resources, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(actions, "FEEDBACK_LOCK_MS", 50)
    async with Widget() as widget:
        await answered(kept, widget)
        async with kept.database.connection() as other, other.transaction():
            await other.execute("SELECT FROM chat_conversation FOR UPDATE")
            error = await rate(widget, "up")
        assert (error["code"], error["seq"]) == ("unavailable", ANSWER)
        assert (await rate(widget, "up"))["type"] == "feedback"


def test_the_database_keeps_no_third_rating() -> None:
    message = make_turn().messages.get()

    with pytest.raises(DatabaseError, match="chat_feedback_is_up_or_down"):
        Feedback.objects.create(message=message, rating="meh")
