"""The socket of the queue pages: on each wake-up it sends what they show, as it is now.

Pushes wake it at once; what they lose, the watch finds within a second.
"""

import asyncio
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import structlog
from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer
from django.contrib.auth.models import User
from django.db import Error as DatabaseError
from django.template.loader import render_to_string

from controlplane.accounts.access import may
from controlplane.accounts.table import SOCKETS
from controlplane.chat.live import QUEUE_GROUP, conversation_group
from controlplane.close_codes import FORBIDDEN, TRY_AGAIN
from moderation import pages, watch
from moderation.models import Approval, ApprovalQuerySet

log = structlog.get_logger()

AT_MOST_EVERY_S = 0.2  # a stop may hold hundreds at once


class QueueConsumer(AsyncWebsocketConsumer):
    """One open page: ?item= is the answer it shows, ?team= the queue it is on."""

    item: UUID | None = None
    mark = ""

    async def connect(self) -> None:
        """Subscribe, then send what the page may have missed since it was made."""
        await self.accept()
        self._groups: list[str] = []
        self._changed = asyncio.Event()
        self._sending: asyncio.Task[None] | None = None
        query = parse_qs(self.scope["query_string"].decode(errors="replace"))
        self._team = pages.clean_team(query.get("team", [""])[0])
        self.item = _id_of(query.get("item", [""])[0])
        self._items = [self.item] if self.item else []
        self._approvals = Approval.objects.filter(pk__in=self._items)
        if not (_is_own_page(self.scope) and await self._may_connect()):
            await self.close(FORBIDDEN)
            return
        self.reader = _reader_of(self.scope)
        await self._join(QUEUE_GROUP)
        if conversation := await self._conversation():
            await self._join(conversation_group(conversation))
        self.wake()
        self._sending = asyncio.create_task(self._send_changes())
        watch.watch().join(self)

    async def disconnect(self, code: int) -> None:
        watch.watch().leave(self)
        if self._sending:
            self._sending.cancel()
        for group in self._groups:
            await self.channel_layer.group_discard(group, self.channel_name)

    def wake(self) -> None:
        self._changed.set()

    def dismiss(self) -> None:
        """Close the page of who has signed out, or may no longer read."""
        watch.watch().leave(self)
        self._closing = asyncio.create_task(self.close(FORBIDDEN))

    async def queue_wake(self, _: dict[str, Any]) -> None:
        self.wake()

    chat_wake = queue_wake

    async def _join(self, group: str) -> None:
        self._groups.append(group)
        await self.channel_layer.group_add(group, self.channel_name)

    async def _send_changes(self) -> None:
        """Send once for however many wake-ups came meanwhile."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            try:
                html = await self._render()
            except DatabaseError as error:
                log.warning("queue_socket_closed", reason=str(error))
                await self.close(TRY_AGAIN)
                return
            if html is None:
                await self.close(FORBIDDEN)
                return
            await self.send(text_data=html)
            await asyncio.sleep(AT_MOST_EVERY_S)

    @database_sync_to_async
    def _may_connect(self) -> bool:
        return self._find_reader() is not None

    def _find_reader(self) -> User | None:
        """Ask anew each time: a role or a team may be taken from somebody whose page is open."""
        user = self.scope["user"]
        assert (
            user is not None
        )  # the middleware puts one there, if only an anonymous one
        fresh = User.objects.filter(pk=user.pk, is_active=True).first()
        if fresh is None or not may(fresh, SOCKETS["ws/queue/"]):
            return None
        is_of_others = self._approvals.exists() and not self._visible(fresh).exists()
        return None if is_of_others else fresh

    def _visible(self, reader: User) -> ApprovalQuerySet:
        return Approval.objects.for_user(reader).filter(pk__in=self._items)

    @database_sync_to_async
    def _conversation(self) -> str | None:
        return self._approvals.values_list("turn__conversation_id", flat=True).first()

    @database_sync_to_async
    def _render(self) -> str | None:
        """Return what the page shows now; nothing to who may not read it any more.

        The mark is read first: what is shown is at least what it stands for.
        """
        self.mark = watch.mark_of(watch.read_marks(self._items), self.item)
        reader = self._find_reader()
        if reader is None:
            return None
        approval = self._approvals.with_conversation().first()
        context = pages.queue_context(reader, self._team, approval and approval.pk)
        if approval:
            context |= pages.live_item_context(approval)
        return render_to_string("moderation/_live.html", context)


def _reader_of(scope: Any) -> watch.Reader:
    session = scope.get("session")
    return watch.Reader(scope["user"].pk, (session and session.session_key) or "")


def _is_own_page(scope: Any) -> bool:
    """Whether a page of ours asks: cookies alone would let in those of other ports of this host."""
    headers = dict(scope["headers"])
    origin, host = headers.get(b"origin", b""), headers.get(b"host", b"")
    return not origin or urlsplit(origin).netloc == host


def _id_of(item: str) -> UUID | None:
    """Return which answer the page shows, if it shows one."""
    try:
        return UUID(item)
    except ValueError:
        return None
