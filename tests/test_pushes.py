"""A Valkey that goes away and comes back: what the log says of it, and that pushes go on."""

import asyncio
import gc
from collections.abc import AsyncIterator, MutableMapping
from typing import Any

import pytest
from channels.layers import get_channel_layer
from django.conf import settings
from redis import Redis
from redis.asyncio.connection import AbstractConnection
from structlog.testing import capture_logs

from controlplane import pushes
from controlplane.embedded.services import Services
from controlplane.pushes import PatientShard, PushLayer
from tests.agents.stage import until

Lines = list[MutableMapping[str, Any]]


@pytest.fixture
async def layer(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[PushLayer]:
    """The layer of this loop; Valkey is back after the test, whatever happens."""
    monkeypatch.setattr(pushes, "RETRY_S", 0.05)
    found = get_channel_layer()
    assert isinstance(found, PushLayer)
    await found.group_send("nobody", {"type": "hello"})
    assert not found.outage.is_on  # whatever tests before this one did
    yield found
    assert services.valkey
    if not services.valkey.is_running():
        await asyncio.to_thread(services.valkey.start)
    await found.flush()
    gc.collect()  # a connection that was left open says so now


@pytest.fixture
def tries(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """How often a connection was asked for."""
    made: list[str] = []
    connect = AbstractConnection.connect_check_health

    async def counted(connection: AbstractConnection, **options: Any) -> None:
        made.append("connect")
        await connect(connection, **options)

    monkeypatch.setattr(AbstractConnection, "connect_check_health", counted)
    return made


def said(lines: Lines) -> list[str]:
    return [line["event"] for line in lines]


class Page:
    """An open page: a channel that hears its groups."""

    def __init__(self, layer: PushLayer, channel: str) -> None:
        self.layer = layer
        self.channel = channel
        self.heard: set[str] = set()

    async def listen(self) -> None:
        while True:
            self.heard.add((await self.layer.receive(self.channel))["type"])

    async def open(self, group: str) -> None:
        await self.layer.group_add(group, self.channel)

    async def leave(self, group: str) -> None:
        await self.layer.group_discard(group, self.channel)

    async def hears(self, group: str) -> None:
        """Send until it arrives: Valkey may have read what was sent before the subscription."""
        self.heard.clear()
        async with asyncio.timeout(5):
            while group not in self.heard:
                await self.layer.group_send(group, {"type": group})
                await asyncio.sleep(0.01)


@pytest.fixture
async def page(layer: PushLayer) -> AsyncIterator[Page]:
    made = Page(layer, await layer.new_channel())
    listening = asyncio.create_task(made.listen())
    yield made
    listening.cancel()
    await asyncio.gather(listening, return_exceptions=True)


def subscribers() -> int:
    """Count the connections of subscriptions that Valkey has."""
    with Redis.from_url(settings.REDIS_URL) as client:
        return len(client.client_list(_type="pubsub"))


def cut() -> None:
    with Redis.from_url(settings.REDIS_URL) as client:
        client.client_kill_filter(_type="pubsub")


async def test_one_line_when_valkey_goes_and_one_when_it_is_back(
    layer: PushLayer,
    page: Page,
    services: Services,
    tries: list[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert services.valkey
    await page.open("early")
    with capture_logs() as lines:
        await asyncio.to_thread(services.valkey.kill)
        await until(lambda: said(lines) == ["valkey_is_away"])
        await page.open("late")
        tries.clear()
        for _ in range(5):
            await layer.group_send("early", {"type": "lost"})
        await until(lambda: len(tries) > 10)
        assert said(lines) == ["valkey_is_away"]
        await asyncio.to_thread(services.valkey.start)
        await until(lambda: said(lines)[1:] == ["valkey_is_back"])
        await page.hears("early")
        await page.hears("late")

    assert said(lines) == ["valkey_is_away", "valkey_is_back"]
    assert [record.name for record in caplog.records] == []


async def test_ten_restarts_lose_no_subscription(
    layer: PushLayer, page: Page, services: Services, caplog: pytest.LogCaptureFixture
) -> None:
    assert services.valkey
    groups = ["first"]
    await page.open("first")
    with capture_logs() as lines:
        for number in range(10):
            kill = asyncio.create_task(asyncio.to_thread(services.valkey.kill))
            groups += [f"before{number}", f"after{number}"]
            while not kill.done():  # pages come and go while the connection breaks
                await page.open(groups[-2])
                await page.leave("first")
                await page.open("first")
                await asyncio.sleep(0)
            await until(lambda: layer.outage.is_on)
            await asyncio.gather(
                page.open(groups[-1]), layer.group_send("first", {"type": "lost"})
            )
            await asyncio.to_thread(services.valkey.start)
            await until(lambda: not layer.outage.is_on)
            for group in groups:
                await page.hears(group)

    assert said(lines) == ["valkey_is_away", "valkey_is_back"] * 10
    assert [record.name for record in caplog.records] == []
    assert await asyncio.to_thread(subscribers) == 1


async def test_a_connection_that_is_cut_is_replaced_by_one(
    layer: PushLayer, page: Page
) -> None:
    """Valkey answers at once, to each who connects at the same time."""
    await page.open("first")
    for number in range(20):
        cutting = asyncio.create_task(asyncio.to_thread(cut))
        while not cutting.done():
            await asyncio.gather(
                *(page.open(f"{number}.{other}") for other in range(5))
            )
            await asyncio.gather(
                *(page.leave(f"{number}.{other}") for other in range(5))
            )
            await asyncio.sleep(0)
        await page.hears("first")

    assert await asyncio.to_thread(subscribers) == 1


async def test_a_receiver_that_breaks_says_so_and_goes_on(
    layer: PushLayer, monkeypatch: pytest.MonkeyPatch
) -> None:
    receive = PatientShard._receive_message
    broken = ["once"]

    def break_once(shard: PatientShard, message: Any) -> None:
        if broken:
            raise ValueError(broken.pop())
        receive(shard, message)

    monkeypatch.setattr(PatientShard, "_receive_message", break_once)
    with capture_logs() as lines:
        channel = await layer.new_channel()
        await until(lambda: said(lines) == ["push_receiver_broke"])
        await layer.send(channel, {"type": "hello"})
        assert await asyncio.wait_for(layer.receive(channel), 5) == {"type": "hello"}


@pytest.mark.parametrize("steps", range(6))
def test_a_loop_ends_whatever_its_receiver_does(services: Services, steps: int) -> None:
    """wait_for of Python 3.11 swallows a cancellation that comes as it ends."""

    async def leave_in_the_middle() -> None:
        layer = get_channel_layer()
        assert layer is not None
        channel = await layer.new_channel()
        await layer.group_add("first", channel)
        await layer.group_discard("first", channel)
        for _ in range(steps):
            await asyncio.sleep(0)

    with asyncio.Runner() as runner:
        runner.run(leave_in_the_middle())
