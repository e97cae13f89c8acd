"""Pushes need Valkey; sockets do not."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from controlplane.chat import live
from controlplane.chat.resources import Resources
from controlplane.embedded.services import Services
from controlplane.pushes import RETRY_S
from tests.chat.making import commit, opened
from tests.chat.widget import Widget

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("kafka_topics"),
]


@pytest.fixture
async def without_valkey(services: Services) -> AsyncIterator[None]:
    """Valkey is back after the test, whatever happens."""
    assert services.valkey
    yield
    if not services.valkey.is_running():
        await asyncio.to_thread(services.valkey.start)


async def say(kept: Resources, widget: Widget, turn: str) -> None:
    await commit(kept.database, opened(turn, widget.conversation_id))
    await live.wake_conversations([widget.conversation_id])


@pytest.mark.usefixtures("without_valkey")
async def test_a_widget_connects_while_valkey_is_away(
    kept: Resources, services: Services
) -> None:
    assert services.valkey
    await asyncio.to_thread(services.valkey.kill)
    async with Widget() as widget:
        await widget.hello()
        await say(kept, widget, "t1")
        assert (await widget.receive("message", timeout_s=2.5))["seq"] == 1


@pytest.mark.usefixtures("without_valkey")
@pytest.mark.parametrize("opens", ["before", "while it is away"])
async def test_pushes_reach_a_socket_again_after_a_restart_of_valkey(
    kept: Resources, services: Services, monkeypatch: pytest.MonkeyPatch, opens: str
) -> None:
    assert services.valkey
    if opens != "before":
        await asyncio.to_thread(services.valkey.kill)
    async with Widget() as widget:
        await widget.hello()
        if opens == "before":
            await asyncio.to_thread(services.valkey.kill)
        await say(kept, widget, "t1")
        assert (await widget.receive("message", timeout_s=2.5))["seq"] == 1
        await asyncio.to_thread(services.valkey.start)
        monkeypatch.setattr(kept.hub, "_ask_the_late", asyncio.Event().wait)
        await asyncio.sleep(2 * RETRY_S + 1)
        await say(kept, widget, "t2")
        assert (await widget.receive("message", timeout_s=1.0))["seq"] == 2
