"""The widget's socket: its frames, its refusals, and what it shows after a reconnect."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
from asgiref.sync import sync_to_async
from django.test import override_settings

from controlplane.chat import hub, ingress, sinks, tokens
from controlplane.chat.consumers import WAITING_MAX
from controlplane.chat.resources import Resources
from controlplane.runtime.actions import switch_agent
from tests.chat.correcting import reach, send, sent
from tests.chat.making import (
    CORRECTED,
    commit,
    decide,
    decided,
    failed,
    hold,
    lift_stops,
    opened,
    put_stop,
    reply,
    rows,
)
from tests.chat.widget import Widget
from tests.factories import make_admin
from tests.moderation.rows import publish_rules

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("kafka_topics"),
]


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is committed here is told by no push."""
    monkeypatch.setattr(hub, "TICK_S", 0.1)


async def settle(
    kept: Resources, widget: Widget, make: Any, turn: str, **fields: Any
) -> None:
    """Play the gate for the widget's conversation, without a push."""
    await commit(kept.database, make(turn, widget.conversation_id, **fields))


# Greeting


async def test_hello_is_answered_with_ready(kept: Resources) -> None:
    async with Widget(tier="pro") as widget:
        ready = await widget.hello()

    assert (ready["conversation"], ready["tier"], ready["seq"]) == (
        widget.conversation_id,
        "pro",
        0,
    )
    assert datetime.fromisoformat(ready["now"]).tzinfo is not None


async def test_a_second_hello_is_refused(kept: Resources) -> None:
    async with Widget() as widget:
        await widget.hello()
        await widget.send(type="hello", token=widget.token)
        assert (await widget.receive("error"))["code"] == "bad_request"


async def test_a_message_before_hello_is_refused(kept: Resources) -> None:
    async with Widget() as widget:
        await widget.say("hello?")
        assert (await widget.receive("error"))["code"] == "unauthorized"


def claims(**fields: Any) -> dict[str, Any]:
    return {
        "sub": "ada",
        "tier": "free",
        "aud": "widget",
        "exp": datetime.now(UTC) + timedelta(hours=1),
    } | fields


@pytest.mark.parametrize(
    ("key", "token"),
    [
        pytest.param(b"", None, id="no token at all"),
        pytest.param(
            b"another key of another server, long enough", claims(), id="not ours"
        ),
        pytest.param(None, claims(exp=datetime(2020, 1, 1, tzinfo=UTC)), id="expired"),
        pytest.param(None, claims(aud="api"), id="other audience"),
    ],
)
async def test_a_bad_token_ends_the_socket(
    kept: Resources, key: bytes | None, token: dict[str, Any] | None
) -> None:
    text = jwt.encode(token, key or tokens._key(), "HS256") if token else "no.token"
    async with Widget() as widget:
        await widget.send(type="hello", token=text)
        assert (await widget.receive("error"))["code"] == "unauthorized"
        assert await widget.closed() == 4401


async def test_nothing_is_read_after_a_refusal(kept: Resources) -> None:
    async with Widget() as widget:
        await widget.send(type="hello", token="no.token")
        await widget.send(type="hello", token=widget.token)
        assert (await widget.receive("error"))["code"] == "unauthorized"
        assert await widget.closed() == 4401
        assert await widget.socket.receive_nothing()


@pytest.mark.parametrize(
    "origin", ["", "https://shop.example", "https://partner.example"]
)
@override_settings(WIDGET_ORIGINS=["https://partner.example"])
async def test_our_own_and_listed_pages_may_embed_the_chat(
    kept: Resources, origin: str
) -> None:
    async with Widget(origin=origin) as widget:
        await widget.hello()


@pytest.mark.parametrize("origin", ["https://evil.example", "null"])
@override_settings(WIDGET_ORIGINS=["https://partner.example"])
async def test_other_pages_may_not_embed_the_chat(kept: Resources, origin: str) -> None:
    async with Widget(origin=origin) as widget:
        await widget.send(type="hello", token=widget.token)
        assert (await widget.receive("error"))["code"] == "forbidden_origin"
        assert await widget.closed() == 4403
        assert await widget.socket.receive_nothing()


# Frames that are none


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("no json", "bad_request"),
        ('{"type":"dance"}', "bad_request"),
        ('{"type":"message","id":7}', "bad_request"),
        ('{"type":"hello"}', "bad_request"),
        ("[]", "bad_request"),
        ('{"type":"hello","token":"t","x":' + "[" * 30_000, "bad_request"),
        ('{"type":"message","id":"1","text":"' + "x" * 40_000 + '"}', "too_long"),
    ],
    ids=["not json", "type", "wrong type", "missing", "list", "deep", "oversize"],
)
async def test_a_frame_that_is_none_is_refused_and_the_socket_goes_on(
    kept: Resources, text: str, code: str
) -> None:
    async with Widget() as widget:
        await widget.socket.send_to(text_data=text)
        assert (await widget.receive("error"))["code"] == code
        await widget.hello()


async def test_a_binary_frame_is_refused(kept: Resources) -> None:
    async with Widget() as widget:
        await widget.socket.send_to(bytes_data=b"\x00")
        assert (await widget.receive("error"))["code"] == "bad_request"


# Messages


async def test_a_message_is_accepted_when_kafka_has_it(kept: Resources) -> None:
    async with Widget() as widget:
        await widget.hello()
        said = await widget.say("What does it cost?")
        accepted = await widget.receive("accepted")

    assert accepted["id"] == said
    assert len(accepted["trace_id"]) == 32
    assert await rows(kept.database, "SELECT trace_id, text FROM chat_turn") == [
        (accepted["trace_id"], "What does it cost?")
    ]


@pytest.mark.usefixtures("rules")
async def test_a_conversation_is_shown_as_it_goes(kept: Resources) -> None:
    async with Widget() as widget:
        await widget.hello()
        said = await widget.say("What does it cost?")
        accepted = await widget.receive("accepted")
        [[turn]] = await rows(kept.database, "SELECT id FROM chat_turn")
        await settle(kept, widget, opened, turn, trace_id=accepted["trace_id"])
        question = await widget.receive("message")
        checking = await widget.has_said("checking")
        await settle(kept, widget, reply, turn, text="Ten.")
        answer = await widget.receive("message")

    assert (question["seq"], question["role"], question["id"]) == (1, "user", said)
    assert checking["trace_id"] == accepted["trace_id"]
    assert (answer["seq"], answer["role"], answer["text"]) == (2, "assistant", "Ten.")
    assert answer["in_reply_to"] == said
    assert answer["reviewed"] is False
    assert "question" not in answer


async def test_a_correction_is_shown_as_one_also_after_a_reconnect(
    kept: Resources,
) -> None:
    async with Widget(user="ada") as widget:
        name = widget.conversation_id
        [target] = await reach(kept.database, name)
        await rows(kept.database, "UPDATE chat_turn SET client_id = 'm1'")
        await widget.hello()
        await widget.receive("message")
        answer = await widget.receive("message")
        await send([target])
        await sinks.settle_and_tell(kept.database, await sent(), "gate")
        live = await widget.receive("message")
        await widget.send(type="feedback", seq=live["seq"], rating="up")
        refused = await widget.receive("error")  # it answers nothing
    async with Widget(user="ada") as again:
        await again.hello(after=answer["seq"])
        missed = await again.receive("message")

    assert "correction" not in answer
    assert (refused["seq"], refused["code"]) == (3, "bad_request")
    assert live == missed
    assert (live["seq"], live["role"], live["text"]) == (3, "assistant", CORRECTED)
    assert (live["correction"], live["reviewed"]) == (True, True)
    assert (live["in_reply_to"], live["question"]) == ("m1", f"question t-{name}")
    assert live["trace_id"] == answer["trace_id"]


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        ({"id": "1", "text": " "}, "bad_request"),
        ({"id": "", "text": "hello"}, "bad_request"),
        ({"id": "x" * 101, "text": "hello"}, "bad_request"),
        ({"id": "a\x00b", "text": "hello"}, "bad_request"),
        ({"id": "1", "text": "x" * 8_193}, "too_long"),
    ],
    ids=["empty", "no id", "long id", "nul in the id", "too long"],
)
async def test_a_message_that_is_none_is_refused_by_its_id(
    kept: Resources, frame: dict[str, str], code: str
) -> None:
    async with Widget() as widget:
        await widget.hello()
        await widget.send(type="message", **frame)
        error = await widget.receive("error")

    assert (error["code"], error["id"]) == (code, frame["id"])


async def test_an_id_with_another_text_is_refused(kept: Resources) -> None:
    async with Widget() as widget:
        await widget.hello()
        await widget.say("one", id="1")
        await widget.receive("accepted")
        await widget.say("two", id="1")
        assert (await widget.receive("error"))["code"] == "id_reused"


async def test_the_conversation_of_another_user_is_refused(kept: Resources) -> None:
    async with Widget() as widget:
        await ingress.submit(
            conversation_id=widget.conversation_id,
            client_id="1",
            text="I was here first",
            user="u_1",
            tier="free",
        )
        await widget.hello()
        said = await widget.say("So was I")
        error = await widget.receive("error")

    assert (error["code"], error["id"]) == ("conversation", said)


@override_settings(MESSAGES_PER_MINUTE=1)
async def test_too_many_messages_are_told_when_to_come_again(kept: Resources) -> None:
    async with Widget() as widget:
        await widget.hello()
        await widget.say("one")
        await widget.say("two")
        error = await widget.receive("error")

    assert error["code"] == "rate_limited"
    assert 0 < error["retry_after_s"] <= 60


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The ids of messages whose submission has begun; Kafka lets none of them go on."""
    ids: list[str] = []

    async def wait(*, client_id: str, **_: str) -> None:
        ids.append(client_id)
        await asyncio.Event().wait()

    monkeypatch.setattr(ingress, "submit", wait)
    return ids


async def test_a_socket_has_only_so_many_messages_waiting(
    kept: Resources, begun: list[str]
) -> None:
    async with Widget() as widget:
        await widget.hello()
        for number in range(WAITING_MAX):
            await widget.say("hello", id=str(number))
        await widget.say("one too many", id="last")
        error = await widget.receive("error")

    assert (error["code"], error["id"]) == ("rate_limited", "last")
    assert error["retry_after_s"] > 0


async def test_what_waits_when_a_socket_closes_is_not_submitted(
    kept: Resources, begun: list[str]
) -> None:
    before = asyncio.all_tasks()
    async with Widget() as widget:
        await widget.hello()
        await widget.say("one", id="1")
        await widget.say("two", id="2")
        await widget.send(type="hello", token=widget.token)
        await widget.receive("error")  # by now both were read

    left = [
        task for task in asyncio.all_tasks() - before if "submit" in task.get_name()
    ]
    assert begun == ["1"]
    assert [task.get_name() for task in left] == ["submit 1"]
    left[0].cancel()


# What is shown


async def test_a_reconnect_brings_exactly_what_was_missed(kept: Resources) -> None:
    async with Widget() as widget:
        for number in range(4):
            await settle(kept, widget, opened, f"t{number}")
            await settle(kept, widget, reply, f"t{number}")
        await widget.hello(after=3)
        assert [(await widget.receive("message"))["seq"] for _ in range(5)] == [
            4,
            5,
            6,
            7,
            8,
        ]
        assert await widget.socket.receive_nothing(timeout=1.5)


@pytest.mark.parametrize("after", [-1, 9, 2**31, 2**70])
async def test_a_cursor_that_cannot_be_harms_nobody(
    kept: Resources, after: int
) -> None:
    async with Widget() as odd, Widget() as widget:
        await settle(kept, odd, opened, "t1")
        await odd.send(type="hello", token=odd.token, after=after)
        await odd.next()
        await widget.hello()
        await settle(kept, widget, opened, "t2")
        assert (await widget.receive("message"))["seq"] == 1


async def test_two_sockets_show_the_same_transcript(kept: Resources) -> None:
    async with Widget(user="ada") as one, Widget(user="ada") as two:
        await one.hello()
        await two.hello()
        await one.say("hello")
        await one.receive("accepted")
        [[turn]] = await rows(kept.database, "SELECT id FROM chat_turn")
        await settle(kept, one, opened, turn)
        await settle(kept, one, reply, turn)
        shown = [
            [await widget.receive("message") for _ in range(2)] for widget in (one, two)
        ]

    assert shown[0] == shown[1]


async def test_a_held_answer_is_shown_as_waiting_and_then_as_reviewed(
    kept: Resources,
) -> None:
    async with Widget() as widget:
        await widget.hello()
        await settle(kept, widget, opened, "t1")
        await settle(kept, widget, hold, "t1")
        await widget.status("waiting_for_person")
        approval = await decide(kept.database)
        await commit(
            kept.database, decided("approved", approval, "t1", widget.conversation_id)
        )
        while (answer := await widget.receive("message"))["role"] == "user":
            pass

    assert answer["reviewed"] is True
    assert answer["question"] == "question t1"


async def test_who_asks_for_a_person_is_told_that_one_is_waited_for(
    kept: Resources,
) -> None:
    async with Widget() as widget:
        await widget.hello()
        said = await widget.say("Is anybody there?", person=True)
        await widget.receive("accepted")
        await widget.say("Is anybody there?", id=said, person=True)
        await widget.receive("accepted")
        [[turn, trace]] = await rows(
            kept.database, "SELECT id, trace_id FROM chat_turn WHERE wants_person"
        )
        await settle(kept, widget, opened, turn, text="Is anybody there?")
        await settle(kept, widget, hold, turn, team="general")
        waiting = await widget.status("waiting_for_person")
        await settle(kept, widget, opened, "another")
        other = await widget.receive("status")

    assert (waiting["trace_id"], waiting["id"]) == (trace, said)
    assert waiting["person"] is True
    assert "person" not in other


async def test_an_id_that_comes_again_asks_the_same_for_an_answer(
    kept: Resources,
) -> None:
    async with Widget() as widget:
        await widget.hello()
        for client_id, person in [("1", True), ("2", False)]:
            await widget.say("Hello?", id=client_id, person=person)
            await widget.receive("accepted")
            await widget.say("Hello?", id=client_id, person=not person)
            assert (await widget.receive("error"))["code"] == "id_reused"


async def test_a_failed_turn_is_shown_once_as_failed(kept: Resources) -> None:
    async with Widget() as widget:
        await widget.hello()
        await settle(kept, widget, opened, "t1")
        await settle(kept, widget, failed, "t1")
        await widget.status("failed")
        await settle(kept, widget, opened, "t2")
        await settle(kept, widget, reply, "t2")
        while (await widget.receive("message"))["role"] == "user":
            pass

    states = [frame["state"] for frame in widget.frames if frame["type"] == "status"]
    assert states.count("failed") == 1


@pytest.fixture
async def rules(kept: Resources) -> None:
    """Rules in force: without them no agent starts anything."""
    await sync_to_async(publish_rules)()
    await change_control(kept)


async def change_control(kept: Resources) -> None:
    await rows(kept.database, "UPDATE runtime_controlversion SET version = version + 1")


@pytest.mark.usefixtures("rules")
async def test_a_turn_that_nobody_takes_in_is_shown_as_checking(
    kept: Resources,
) -> None:
    """The workers may be away when Kafka has taken it."""
    async with Widget() as widget:
        await widget.hello()
        client_id = await widget.say("Hello?")
        accepted = await widget.receive("accepted")

        checking = await widget.status("checking")

    assert (checking["id"], checking["trace_id"]) == (client_id, accepted["trace_id"])


@pytest.mark.usefixtures("rules")
async def test_a_turn_that_later_ones_have_passed_is_shown_as_checking(
    kept: Resources, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kafka was away for so long that it was given up; then it came through after all."""
    async with Widget() as widget:
        await widget.hello()
        with monkeypatch.context() as patch:
            patch.setattr(kept.publisher, "publish", never)
            client_id = await widget.say("Hello?")
            await widget.receive("error")
        await rows(
            kept.database,
            "UPDATE chat_turn SET created_at = created_at - interval '1 minute'",
        )
        await settle(kept, widget, opened, "later")
        await settle(kept, widget, reply, "later")

        await widget.say("Hello?", client_id)
        while (await widget.status("checking"))["id"] != client_id:
            pass


async def never(*_: Any, **__: Any) -> None:
    raise TimeoutError


async def test_a_turn_that_kafka_has_not_confirmed_is_not_shown(
    kept: Resources, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept.publisher, "publish", never)
    async with Widget() as widget:
        await widget.hello()
        await widget.say("Hello?")
        await widget.receive("error")
        await settle(kept, widget, opened, "another")
        await settle(kept, widget, failed, "another")
        await widget.status("failed")

    told = {frame["id"] for frame in widget.frames if frame["type"] == "status"}
    assert told == {"another"}


@pytest.mark.usefixtures("rules")
async def test_a_request_to_a_model_is_shown_as_thinking(kept: Resources) -> None:
    async with Widget() as widget:
        await widget.hello()
        await settle(kept, widget, opened, "t1")
        await widget.status("checking")
        await rows(
            kept.database,
            'INSERT INTO traces_record (topic, partition, "offset", at, trace_id, event_id, '
            "parents, type, agent, conversation_id, workflow, tier, subject, text, key_sha256, "
            "headers_sha256, value_sha256, size_bytes) VALUES ('agent.requests.free', 0, 0, now(), "
            "%s, '', '{}', '', '', '', '', '', '', '', '', '', '', 0)",
            ["ab" * 16],
        )
        await widget.status("thinking")


@pytest.mark.usefixtures("rules")
@pytest.mark.parametrize(
    ("scope", "value"), [("tier", "free"), ("agent", "responder"), ("everything", "")]
)
async def test_a_soft_stop_is_shown_as_paused(
    kept: Resources, scope: str, value: str
) -> None:
    async with Widget() as widget:
        await widget.hello()
        await settle(kept, widget, opened, "t1")
        await widget.status("checking")
        await put_stop(kept.database, mode="soft", scope=scope, value=value)
        await change_control(kept)
        await widget.status("paused")
        await lift_stops(kept.database)
        await change_control(kept)
        await widget.status("checking")


@pytest.mark.usefixtures("rules")
async def test_an_agent_that_is_switched_off_is_shown_as_paused(
    kept: Resources,
) -> None:
    async with Widget() as widget:
        await widget.hello()
        await settle(kept, widget, opened, "t1")
        await widget.status("checking")
        admin = await sync_to_async(make_admin)()
        for paused, state in [(True, "paused"), (False, "checking")]:
            await sync_to_async(switch_agent)(
                "tier-router", paused=paused, reason="drill", actor=admin
            )
            await widget.status(state)


@pytest.mark.long
async def test_a_socket_that_is_idle_for_longer_than_a_client_s_timeout_still_receives(
    kept: Resources,
) -> None:
    """Clients of Valkey wait 5 s for a word before they give a connection up."""
    async with Widget() as widget:
        await widget.hello()
        assert await widget.socket.receive_nothing(timeout=7)
        await settle(kept, widget, opened, "t1")
        assert (await widget.receive("message"))["text"] == "question t1"


async def test_a_closed_socket_is_forgotten(kept: Resources) -> None:
    async with Widget() as widget:
        await widget.hello()
        assert len(kept.hub._sockets) == 1

    assert not kept.hub._sockets
    assert not kept.hub._asked


async def test_a_socket_that_never_said_hello_may_go(kept: Resources) -> None:
    async with Widget():
        pass

    assert not kept.hub._sockets
