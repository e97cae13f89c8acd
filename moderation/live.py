"""Pushes of the moderation pages: a wake-up, after which each socket reads for itself."""

from asgiref.sync import async_to_sync

from controlplane.chat import live


def queue_changed() -> None:
    """Wake every open queue page. Call it after the commit."""
    async_to_sync(live.wake_queue)()
