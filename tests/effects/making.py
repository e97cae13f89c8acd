"""Rows, mailers and stops for the tests of effects outside."""

from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

from django.contrib.auth.models import User

from agents.host import conninfo
from agents.postgres import Database
from controlplane.effects.mailer import Mailer
from controlplane.effects.models import Effect
from controlplane.environment import MailServer
from controlplane.stops import actions
from controlplane.stops.models import Stop
from tests.loop_thread import LoopThread


def make_effect(name: str = "bo", **fields: Any) -> Effect:
    """A mail that waits, to a mailbox of that name."""
    defaults = {
        "record_id": str(uuid4()),
        "workflow": "chat",
        "agent": "responder",
        "agents": ["input-guard", "responder", "tier-router"],
        "tier": "free",
        "conversation_id": "c_1",
        "trace_id": uuid4().hex,
        "recipient": address_of(name),
        "subject": f"Your offer, {name}",
        "text": "Dear customer,\n.\nhere it is.\n",
    }
    return Effect.objects.create(**(defaults | fields))


def address_of(name: str) -> str:
    return f"{name}@customer.example"


def stop(by: User, scope: str = "everything", value: str = "") -> Stop:
    return actions.request_stop(
        mode="hard", scope=scope, value=value, reason="drill", requester=by
    )


@contextmanager
def mailers(
    loop_thread: LoopThread, server: MailServer | None, count: int = 1
) -> Iterator[list[Mailer]]:
    """Run mailers on a loop, each with connections of its own."""
    database = loop_thread.run(_open())
    running = [Mailer(database, server) for _ in range(count)]
    futures: list[Future[None]] = [loop_thread.start(each.run()) for each in running]
    try:
        yield running
        for future in futures:
            assert not future.done(), future.exception()
    finally:
        for future in futures:
            future.cancel()
        loop_thread.run(_close(database, running))


async def _open() -> Database:
    database = Database(conninfo(), max_size=10)
    await database.open()
    return database


async def _close(database: Database, running: list[Mailer]) -> None:
    for mailer in running:
        await mailer._drain()
    await database.close()


def states() -> dict[str, str]:
    """Return the state of each mail by its mailbox."""
    rows = Effect.objects.values_list("recipient", "state")
    return {recipient.partition("@")[0]: state for recipient, state in rows}
