"""Where messages come in: a turn gets its number, then Kafka gets the record."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from django.conf import settings

from agents import cloudevents, topics
from agents.agent import UnavailableError
from agents.broker import BrokerError
from agents.cloudevents import Envelope
from agents.events import UserMessage
from agents.postgres import Connection, in_two_trips, plain
from agents.work import Outgoing
from controlplane.chat.resources import resources
from controlplane.chat.settle_writes import INSERT_CONVERSATIONS, INSERT_TURN

ID_MAX_CHARS = 100
MINUTE = timedelta(minutes=1)

_LOCK = """
SELECT latest_turn, "user" FROM chat_conversation WHERE id = %s FOR UPDATE
"""
_TURN = "SELECT text, accepted_at IS NOT NULL FROM chat_turn WHERE id = %s"
_NTH_LATEST = """
SELECT created_at FROM chat_turn WHERE conversation_id = %s
ORDER BY number DESC OFFSET %s LIMIT 1
"""
_COUNT = "UPDATE chat_conversation SET latest_turn = %s, tier = %s WHERE id = %s"


class BadMessageError(Exception):
    """A message without text, or without an id that can be one."""


class TooLongError(Exception):
    """More bytes than a message may have."""


class NotOwnerError(Exception):
    """The conversation is another user's, or of one that nobody named."""

    def __init__(self) -> None:
        super().__init__("the conversation belongs to another user")


class IdReusedError(Exception):
    """The client's id came before with another text."""


class RateLimitedError(Exception):
    """Too many messages of one conversation in a minute."""

    def __init__(self, retry_after_s: float) -> None:
        super().__init__(f"try again in {retry_after_s:.0f} s")
        self.retry_after_s = retry_after_s


class UnconfirmedError(Exception):
    """Kafka has not acknowledged. The same message with the same id may be sent again."""


class Accepted(msgspec.Struct, frozen=True):
    event_id: str
    trace_id: str


class Incoming(msgspec.Struct, frozen=True, kw_only=True):
    conversation_id: str
    client_id: str
    text: str
    user: str
    tier: str
    linked_trace: str = ""

    @property
    def turn_id(self) -> str:
        return cloudevents.ingress_id(self.conversation_id, self.client_id)


async def submit(  # the fields of a message
    *,
    conversation_id: str,
    client_id: str,
    text: str,
    user: str,
    tier: str,
    linked_trace: str = "",
) -> Accepted:
    """Return once Kafka has the message. The same client_id again is the same message."""
    message = Incoming(
        conversation_id=conversation_id,
        client_id=client_id,
        text=plain(text),
        user=user,
        tier=tier,
        linked_trace=linked_trace,
    )
    _check(message)
    accepted = Accepted(message.turn_id, cloudevents.trace_id_of(message.turn_id))
    try:
        is_known = await _register(message, accepted.trace_id)
        if not is_known:
            publisher = (await resources()).publisher
            await publisher.publish(
                record_of(message), timeout_s=settings.CONFIRM_TIMEOUT_S
            )
    except (UnavailableError, BrokerError, TimeoutError) as error:
        raise UnconfirmedError(str(error) or "Kafka did not answer in time") from error
    return accepted


def _check(message: Incoming) -> None:
    if not message.text.strip():
        raise BadMessageError("the message has no text")
    if plain(message.client_id) != message.client_id:
        raise BadMessageError("the id has a character that no id can have")
    if not 0 < len(message.client_id) <= ID_MAX_CHARS:
        raise BadMessageError(f"the id must have 1 to {ID_MAX_CHARS} characters")
    size = len(message.text.encode())
    if size > settings.MESSAGE_MAX_BYTES:
        raise TooLongError(f"{size} bytes; {settings.MESSAGE_MAX_BYTES} are allowed")


async def _register(message: Incoming, trace_id: str) -> bool:
    """Number the turn under the conversation's lock; return whether Kafka had it before.

    Who writes first owns the conversation, also where two open it at once.
    """
    database = (await resources()).database
    async with database.connection() as connection, in_two_trips(connection):
        (latest_turn, owner), known, nth_latest = await _look(connection, message)
        if owner != message.user:
            raise NotOwnerError
        if known is not None:
            if known[0] != message.text:
                raise IdReusedError(message.client_id)
            return bool(known[1])
        if nth_latest is not None:
            _limit_rate(nth_latest[0])
        await _insert(connection, message, trace_id, number=latest_turn + 1)
    return False


async def _look(connection: Connection, message: Incoming) -> tuple[Any, Any, Any]:
    """Lock the conversation and read what is known of it, in one round trip."""
    name, nth = message.conversation_id, settings.MESSAGES_PER_MINUTE - 1
    await connection.execute(
        INSERT_CONVERSATIONS, [[name], [message.user], [message.tier]]
    )
    locked = await connection.execute(_LOCK, [name])
    known = await connection.execute(_TURN, [message.turn_id])
    nth_latest = await connection.execute(_NTH_LATEST, [name, nth])
    conversation = await locked.fetchone()
    assert conversation is not None
    return conversation, await known.fetchone(), await nth_latest.fetchone()


def _limit_rate(nth_latest_at: datetime) -> None:
    wait = nth_latest_at + MINUTE - datetime.now(UTC)
    if wait > timedelta(0):
        raise RateLimitedError(wait.total_seconds())


async def _insert(
    connection: Connection, message: Incoming, trace_id: str, *, number: int
) -> None:
    now = datetime.now(UTC)
    turn = [
        message.turn_id,
        message.conversation_id,
        number,
        message.client_id,
        message.text,
        trace_id,
        message.tier,
        now,
        None,  # Kafka does not have it yet
        now + timedelta(seconds=settings.TURN_DEADLINE_S),
    ]
    count = [number, message.tier, message.conversation_id]
    await connection.execute(INSERT_TURN, turn)
    await connection.execute(_COUNT, count)


def record_of(message: Incoming) -> Outgoing:
    """Return what Kafka gets: the same for the same message, however often."""
    data = UserMessage(
        conversation_id=message.conversation_id,
        text=message.text,
        user=message.user,
        tier=message.tier,
        client_id=message.client_id,
    )
    envelope = Envelope(
        id=message.turn_id,
        type=type(data).__name__,
        source="widget",
        trace_id=cloudevents.trace_id_of(message.turn_id),
        subject=message.user,
        workflow="chat",
        tier=message.tier,
        linked_trace=message.linked_trace,
    )
    return Outgoing(
        topics.USER_RAW,
        message.conversation_id.encode(),
        msgspec.json.encode(data),
        cloudevents.encode_headers(envelope),
    )
