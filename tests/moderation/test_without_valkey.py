"""Open queue pages show what nobody pushed: without Valkey, and where a push was lost."""

import asyncio
from collections.abc import AsyncIterator, Collection
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from asgiref.sync import sync_to_async
from channels.testing import WebsocketCommunicator
from django.contrib.auth.models import User
from django.db import OperationalError
from structlog.testing import capture_logs

from controlplane.chat import live as chat_live
from controlplane.chat.models import Message, Outcome
from controlplane.embedded.services import Services
from moderation import watch
from moderation.models import Approval
from moderation.watch import Watch
from tests.agents.stage import until
from tests.factories import make_approval, make_moderator, make_turn
from tests.moderation.test_socket import decide, opened

pytestmark = pytest.mark.django_db(transaction=True)
WITHIN_S = 2.0
do = sync_to_async


@pytest.fixture
async def mira() -> User:
    return await do(make_moderator)()


@pytest.fixture
async def without_valkey(services: Services) -> AsyncIterator[None]:
    """Valkey is back after the test, whatever happens."""
    assert services.valkey
    await asyncio.to_thread(services.valkey.kill)
    yield
    await asyncio.to_thread(services.valkey.start)


async def shows(
    socket: WebsocketCommunicator, text: str, *, within_s: float = WITHIN_S
) -> None:
    async with asyncio.timeout(within_s):
        while text not in await socket.receive_from(timeout=within_s):
            pass


@pytest.mark.usefixtures("without_valkey")
async def test_an_open_page_goes_on_without_valkey_and_when_it_is_back(
    mira: User, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    jonas = await do(make_moderator)("jonas")
    first = await do(make_approval)()
    socket, page = await opened(mira, f"item={first.pk}")
    assert f'id="row-{first.pk}"' in page

    second = await do(make_approval)()
    await shows(socket, f'id="row-{second.pk}"')
    await do(make_turn)(first.turn.conversation, text="Are you there?")
    await shows(socket, "Are you there?")
    await do(decide)(second, jonas)
    await shows(socket, "All <b>1<span")
    third = await do(make_approval)(await do(make_turn)())
    await shows(socket, f'id="row-{third.pk}"')
    await do(decide)(first, jonas)
    await shows(socket, "jonas approved this at")

    assert services.valkey
    await asyncio.to_thread(services.valkey.start)
    monkeypatch.setattr(Watch, "_wake_the_late", lambda _: asyncio.sleep(0))
    fourth = await do(make_approval)()
    waking = asyncio.create_task(_keep_waking())  # until it has subscribed again
    await shows(socket, f'id="row-{fourth.pk}"', within_s=10)
    waking.cancel()
    await socket.disconnect()


async def _keep_waking() -> None:
    while True:
        await chat_live.wake_queue()
        await asyncio.sleep(0.1)


def arrive(_: Approval) -> None:
    make_approval()


def expire(approval: Approval) -> None:
    Approval.objects.filter(pk=approval.pk).update(state="expired")


def deliver(approval: Approval) -> None:
    turn = approval.turn
    turn.conversation.latest_seq += 1
    turn.conversation.save(update_fields=["latest_seq"])
    Message.objects.create(
        conversation=turn.conversation,
        seq=turn.conversation.latest_seq,
        turn=turn,
        role="assistant",
        text="5 % off.",
    )


def keep_back(approval: Approval) -> None:
    Outcome.objects.filter(turn=approval.turn).update(state="rejected")


def write(approval: Approval) -> None:
    make_turn(approval.turn.conversation)


@pytest.mark.parametrize("change", [arrive, expire, deliver, keep_back, write])
def test_a_change_of_what_the_page_shows_changes_its_mark(change: Any) -> None:
    shown, other = make_approval(), make_approval()
    of = partial(watch.mark_of, item=shown.pk)
    before = watch.read_marks([shown.pk, other.pk])

    assert watch.read_marks([shown.pk, other.pk]) == before
    change(shown)

    assert of(watch.read_marks([shown.pk])) != of(before)


def test_a_decision_changes_the_mark_of_every_page(mira: User) -> None:
    decided, other = make_approval(), make_approval()
    before = watch.read_marks([other.pk])

    decide(decided, mira)

    after = watch.read_marks([other.pk])
    assert after[None] != before[None]
    assert after[other.pk] == before[other.pk]


class OpenPage:
    def __init__(self, item: Any, mark: str = "") -> None:
        self.item = item
        self.mark = mark
        self.reader = watch.Reader(0, "")
        self.woken = 0

    def wake(self) -> None:
        self.woken += 1

    def dismiss(self) -> None:
        pass


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many items each query was about."""
    made: list[int] = []
    read = watch.read_marks

    def counted(items: Collection[UUID]) -> watch.Marks:
        made.append(len(items))
        return read(items)

    monkeypatch.setattr(watch, "read_marks", counted)
    return made


@pytest.mark.parametrize("count", [1, 20])
async def test_a_tick_is_one_query_and_wakes_who_is_late(
    reads: list[int], count: int
) -> None:
    approval = await do(make_approval)()
    marks = await do(watch.read_marks)([approval.pk])
    late = [OpenPage(item) for item in (None, approval.pk) for _ in range(count)]
    fresh = [OpenPage(i, watch.mark_of(marks, i)) for i in (None, approval.pk)]
    pages = Watch()
    pages._pages = {*late, *fresh}
    reads.clear()

    await pages._wake_the_late()

    assert reads == [1]
    assert [page.woken for page in late] == [1] * len(late)
    assert [page.woken for page in fresh] == [0, 0]


async def test_a_page_is_sent_nothing_while_nothing_changes(
    mira: User, reads: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "TICK_S", 0.02)
    approval = await do(make_approval)()
    socket, _ = await opened(mira, f"item={approval.pk}")
    pages = watch.watch()

    reads.clear()
    await until(lambda: len(reads) > 5)
    assert await socket.receive_nothing()

    await socket.disconnect()
    assert (pages._pages, pages._ticking) == (set(), None)


async def test_the_watch_goes_on_after_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "TICK_S", 0.02)
    read = watch.read_marks
    errors = [ZeroDivisionError(), OperationalError("away")]

    def fail_twice(items: Collection[UUID]) -> watch.Marks:
        if errors:
            raise errors.pop()
        return read(items)

    monkeypatch.setattr(watch, "read_marks", fail_twice)
    page, pages = OpenPage(None), Watch()
    with capture_logs() as lines:
        pages.join(page)
        await until(lambda: page.woken)
    pages.leave(page)

    said = [line["event"] for line in lines]
    assert said == ["queue_pages_wait", "queue_watch_broke"]
