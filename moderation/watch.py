"""Finds out what no push told: a few queries a second for all open queue pages of a process.

Also who may no longer read them: who has signed out, is not active any more or has lost the role.
"""

import asyncio
from collections.abc import Collection
from typing import NamedTuple, Protocol
from uuid import UUID
from weakref import WeakKeyDictionary

import structlog
from channels.db import database_sync_to_async
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.db import Error as DatabaseError
from django.db import connection
from django.utils import timezone

from controlplane.accounts.table import SOCKETS

log = structlog.get_logger()

TICK_S = 0.8  # with the query within a second

# The first row is what all pages show, each other row what the page of one item does.
_MARKS = """
SELECT NULL, concat_ws(' ', count(*), sum(hashtextextended(id::text, 0)),
  (SELECT max(decided_at) FROM moderation_decision),
  (SELECT sum(hashtextextended(id::text, 0)) FROM stops_stop WHERE releasing_at IS NULL),
  (SELECT sum(hashtextextended(concat_ws(' ', team_id, user_id), 0)) FROM accounts_team_members))
FROM moderation_approval WHERE state = 'pending'
UNION ALL
SELECT a.id, concat_ws(' ', a.state, c.latest_turn, c.latest_seq,
  (SELECT o.state FROM chat_outcome o WHERE o.turn_id = t.id AND o.effect = a.effect))
FROM moderation_approval a
JOIN chat_turn t ON t.id = a.turn_id JOIN chat_conversation c ON c.id = t.conversation_id
WHERE a.id = ANY(%s)
"""

Marks = dict[UUID | None, str]


class Reader(NamedTuple):
    """Who reads an open page; the session is empty where there is none to end."""

    user_id: int
    session_key: str


class Page(Protocol):
    """An open page: the item it shows, and what the database said before it was rendered."""

    item: UUID | None
    mark: str
    reader: Reader

    def wake(self) -> None: ...
    def dismiss(self) -> None: ...


class Watch:
    """Wakes the pages whose mark is no longer that of the database, while any is open."""

    def __init__(self) -> None:
        self._pages: set[Page] = set()
        self._ticking: asyncio.Task[None] | None = None

    def join(self, page: Page) -> None:
        self._pages.add(page)
        if self._ticking is None:
            self._ticking = asyncio.create_task(self._tick(), name="queue-watch")

    def leave(self, page: Page) -> None:
        self._pages.discard(page)
        if not self._pages and self._ticking is not None:
            self._ticking.cancel()
            self._ticking = None

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            try:
                await self._dismiss_who_may_not_read()
                await self._wake_the_late()
            except DatabaseError as error:
                log.warning("queue_pages_wait", reason=str(error))
            except Exception:  # the next second may be better
                log.exception("queue_watch_broke")

    async def _dismiss_who_may_not_read(self) -> None:
        asked = {page.reader for page in self._pages}
        readers = await database_sync_to_async(still_readers)(asked)
        for page in [page for page in self._pages if page.reader in asked - readers]:
            page.dismiss()

    async def _wake_the_late(self) -> None:
        items = {page.item for page in self._pages if page.item}
        marks = await database_sync_to_async(read_marks)(items)
        for page in self._pages:
            if page.mark != mark_of(marks, page.item):
                page.wake()


def read_marks(items: Collection[UUID]) -> Marks:
    """Read what tells whether pages have changed: the queue's mark, and that of each item."""
    with connection.cursor() as cursor:
        cursor.execute(_MARKS, [list(items)])
        return dict(cursor.fetchall())


def still_readers(asked: Collection[Reader]) -> set[Reader]:
    """Return those who are signed in, active, and have a role that may read the queue."""
    users = User.objects.with_perm(
        SOCKETS["ws/queue/"], backend="django.contrib.auth.backends.ModelBackend"
    )
    allowed = set(
        users.filter(pk__in={reader.user_id for reader in asked}).values_list(
            "pk", flat=True
        )
    )
    sessions = Session.objects.filter(
        session_key__in={reader.session_key for reader in asked},
        expire_date__gt=timezone.now(),
    )
    alive = {"", *sessions.values_list("session_key", flat=True)}
    return {
        reader
        for reader in asked
        if reader.user_id in allowed and reader.session_key in alive
    }


def mark_of(marks: Marks, item: UUID | None) -> str:
    return f"{marks[None]} {marks.get(item, '')}" if item else marks[None]


_watches: WeakKeyDictionary[asyncio.AbstractEventLoop, Watch] = WeakKeyDictionary()


def watch() -> Watch:
    """Return the watch of this loop; a web process has one loop."""
    return _watches.setdefault(asyncio.get_running_loop(), Watch())
