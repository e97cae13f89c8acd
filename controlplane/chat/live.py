"""Pushes: wake-ups for sockets. Fire and forget; the sockets' cursors make up for a lost one."""

from collections.abc import Iterable

from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer

QUEUE_GROUP = "moderation.queue"


def conversation_group(conversation_id: str) -> str:
    """Return a group name that Channels allows, whatever the id is."""
    safe = "".join(c if c.isalnum() and c.isascii() else "-" for c in conversation_id)
    return f"chat.{safe[:90]}"


async def wake_conversations(conversations: Iterable[str]) -> None:
    for conversation in conversations:
        await _send(conversation_group(conversation), "chat.wake")


def conversations_changed(conversations: Iterable[str]) -> None:
    """Wake their sockets from code that is not async. Call it after the commit."""
    async_to_sync(wake_conversations)(conversations)


async def wake_queue() -> None:
    await _send(QUEUE_GROUP, "queue.wake")


async def _send(group: str, kind: str) -> None:
    layer = get_channel_layer()
    assert layer is not None  # settings.CHANNEL_LAYERS names one
    await layer.group_send(group, {"type": kind})
