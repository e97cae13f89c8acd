"""What the queue's socket sends, over the real Valkey."""

from typing import Any

import pytest
from asgiref.sync import sync_to_async
from channels.testing import WebsocketCommunicator
from django.contrib.auth.models import AnonymousUser, User
from django.contrib.sessions.backends.base import SessionBase
from django.db import OperationalError
from django.test import Client

from controlplane.chat import live as chat_live
from controlplane.close_codes import FORBIDDEN, TRY_AGAIN
from moderation import actions, live, pages
from moderation.consumers import QueueConsumer
from moderation.models import Approval, Decision
from tests.factories import make_approval, make_moderator, make_turn, make_user

pytestmark = pytest.mark.django_db(transaction=True)


def socket_of(
    user: User | AnonymousUser, query: str = "", headers: Any = ()
) -> WebsocketCommunicator:
    socket = WebsocketCommunicator(
        QueueConsumer.as_asgi(), f"/ws/queue/?{query}", headers=list(headers)
    )
    socket.scope["user"] = user  # type: ignore[typeddict-unknown-key]
    return socket


async def opened(user: User, query: str = "") -> tuple[WebsocketCommunicator, str]:
    """Return a connected socket and the first thing it sent: the queue as it is."""
    socket = socket_of(user, query)
    connected, _ = await socket.connect()
    assert connected
    return socket, str(await socket.receive_from(timeout=10))


async def close_code(socket: WebsocketCommunicator) -> int:
    connected, _ = await socket.connect()
    assert connected  # refused before, the client would try for ever
    message = await socket.receive_output(timeout=10)
    assert message["type"] == "websocket.close"
    await socket.disconnect()
    code: int = message["code"]
    return code


def decide(approval: Approval, user: User) -> None:
    fresh = Approval.objects.with_conversation().get(pk=approval.pk)
    actions.decide(
        fresh.pk,
        verdict=Decision.Verdict.APPROVE,
        text="",
        reason="",
        fingerprint=fresh.fingerprint,
        moderator=user,
    )


async def test_an_answer_that_arrives_is_sent_with_the_counts() -> None:
    mira = await sync_to_async(make_moderator)()
    socket, first = await opened(mira)
    approval = await sync_to_async(make_approval)()

    await chat_live.wake_queue()

    pushed = await socket.receive_from(timeout=10)
    assert "Nothing waits for a person." in first
    assert '<hx-partial hx-target="#queue-list" hx-swap="outerMorph">' in pushed
    assert f'id="row-{approval.pk}"' in pushed
    assert "All <b>1<span" in pushed
    await socket.disconnect()


async def test_many_wake_ups_at_once_are_few_messages() -> None:
    socket, _ = await opened(await sync_to_async(make_moderator)())

    for _ in range(20):
        await chat_live.wake_queue()

    messages = 0
    while not await socket.receive_nothing(timeout=0.6):
        await socket.receive_from()
        messages += 1
    assert 1 <= messages <= 5
    await socket.disconnect()


async def test_a_decision_of_somebody_else_is_marked_on_the_open_page() -> None:
    mira, jonas = [
        await sync_to_async(make_moderator)(name) for name in ("mira", "jonas")
    ]
    approval = await sync_to_async(make_approval)()
    socket, first = await opened(mira, f"item={approval.pk}")

    await sync_to_async(decide)(approval, jonas)

    pushed = await socket.receive_from(timeout=10)
    assert f'hx-target="#notice-{approval.pk}"' in first
    assert "jonas approved this at" not in first
    assert "jonas approved this at" in pushed
    assert f'hx-target="#delivery-{approval.pk}"' in pushed
    await socket.disconnect()


async def test_a_newer_message_marks_the_open_page() -> None:
    mira = await sync_to_async(make_moderator)()
    approval = await sync_to_async(make_approval)()
    socket, _ = await opened(mira, f"item={approval.pk}&team=discount")
    conversation = approval.turn.conversation
    await sync_to_async(make_turn)(conversation, text="Hello <b>?")

    await chat_live.wake_conversations([conversation.pk])

    pushed = await socket.receive_from(timeout=10)
    assert "The customer has written since this was drafted" in pushed
    assert "Hello &lt;b&gt;?" in pushed
    await socket.disconnect()


@pytest.mark.parametrize("query", ["item=nonsense", "item=%00", "team=%00x"])
async def test_an_address_that_means_nothing_is_the_queue_alone(query: str) -> None:
    socket, first = await opened(await sync_to_async(make_moderator)(), query)

    assert "#queue-list" in first
    assert "#notice-" not in first
    await socket.disconnect()


async def test_a_visitor_is_let_in_only_to_be_told_not_to_come_back() -> None:
    assert await close_code(socket_of(AnonymousUser())) == FORBIDDEN


async def test_people_without_a_role_cannot_listen() -> None:
    nobody = await sync_to_async(make_user)("nobody")

    assert await close_code(socket_of(nobody)) == FORBIDDEN


async def test_pages_of_others_cannot_listen_with_our_cookies() -> None:
    mira = await sync_to_async(make_moderator)()
    headers = [(b"host", b"127.0.0.1:8000"), (b"origin", b"http://127.0.0.1:3000")]

    assert await close_code(socket_of(mira, headers=headers)) == FORBIDDEN


async def test_a_role_that_is_taken_closes_the_open_page() -> None:
    mira = await sync_to_async(make_moderator)()
    socket, _ = await opened(mira)
    await mira.groups.aclear()

    await sync_to_async(live.queue_changed)()

    message = await socket.receive_output(timeout=10)
    assert (message["type"], message["code"]) == ("websocket.close", FORBIDDEN)


async def test_a_database_that_is_away_makes_the_page_try_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    socket, _ = await opened(await sync_to_async(make_moderator)())

    def fail(*_: object) -> None:
        raise OperationalError("away")

    monkeypatch.setattr(pages, "queue_context", fail)
    await chat_live.wake_queue()

    message = await socket.receive_output(timeout=10)
    assert (message["type"], message["code"]) == ("websocket.close", TRY_AGAIN)


# Who may no longer read


def sign_out(session: SessionBase, user: User) -> None:
    session.flush()


def disable(session: SessionBase, user: User) -> None:
    User.objects.filter(pk=user.pk).update(is_active=False)


def take_the_role(session: SessionBase, user: User) -> None:
    user.groups.clear()


@pytest.mark.parametrize("end", [sign_out, disable, take_the_role])
async def test_an_open_page_closes_within_a_second_of_its_readers_end(end: Any) -> None:
    mira, jonas = [
        await sync_to_async(make_moderator)(name) for name in ("mira", "jonas")
    ]
    session = await sync_to_async(signed_in)(mira)
    hers, his = socket_of(mira), socket_of(jonas)
    hers.scope["session"] = session  # type: ignore[typeddict-unknown-key]
    for socket in (hers, his):
        await socket.connect()
        await socket.receive_from(timeout=10)

    await sync_to_async(end)(session, mira)

    closed = await hers.receive_output(timeout=1.5)
    assert (closed["type"], closed["code"]) == ("websocket.close", FORBIDDEN)
    assert await his.receive_nothing(timeout=0.01)
    await hers.disconnect()
    await his.disconnect()


def signed_in(user: User) -> SessionBase:
    client = Client()
    client.force_login(user)
    return client.session
