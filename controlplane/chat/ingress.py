"""Where messages come in: a turn gets its number, then Kafka gets the record."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from django.conf import settings
from psycopg.errors import UniqueViolation

from agents import cloudevents, topics
from agents.agent import UnavailableError
from agents.broker import BrokerError
from agents.cloudevents import Envelope
from agents.events import UserMessage
from agents.postgres import plain
from agents.work import Outgoing
from controlplane.chat.resources import resources

ID_MAX_CHARS = 100
MINUTE = timedelta(minutes=1)

TRIES = 5  # each is in vain only if another message came in between

# Numbers the turn under its conversation's lock, if it is new, its user's own and not too soon
# after the others, and returns what tells why not. What is told is of before the lock.
_TAKE = """
WITH known AS (
  SELECT text, wants_person, accepted_at IS NOT NULL AS is_accepted
  FROM chat_turn WHERE id = %(turn)s),
numbered AS (
  INSERT INTO chat_conversation AS c
    (id, "user", tier, workflow, latest_turn, passed_turn, latest_seq, created_at)
  VALUES (%(conversation)s, %(user)s, %(tier)s, 'chat', 1, 0, 0, %(now)s)
  ON CONFLICT (id) DO UPDATE SET latest_turn = c.latest_turn + 1, tier = excluded.tier
  WHERE c."user" = excluded."user" AND NOT EXISTS (SELECT FROM known)
    AND NOT EXISTS (
      SELECT FROM chat_turn WHERE conversation_id = c.id
        AND number = c.latest_turn - %(others)s AND created_at > %(minute_ago)s)
  RETURNING latest_turn),
taken AS (
  INSERT INTO chat_turn (id, conversation_id, number, client_id, text, trace_id, tier,
    wants_person, created_at, deadline_at)
  SELECT %(turn)s, %(conversation)s, latest_turn, %(client_id)s, %(text)s, %(trace)s, %(tier)s,
    %(wants_person)s, %(now)s, %(deadline)s
  FROM numbered RETURNING id)
SELECT EXISTS (SELECT FROM taken), c."user", known.text, known.wants_person, known.is_accepted,
  (SELECT created_at FROM chat_turn
    WHERE conversation_id = c.id AND number = c.latest_turn - %(others)s)
FROM (VALUES (%(conversation)s)) AS asked (id)
LEFT JOIN chat_conversation c ON c.id = asked.id
LEFT JOIN known ON true
"""


class BadMessageError(Exception):
    """A message without text, or without an id that can be one."""


class TooLongError(Exception):
    """More bytes than a message may have."""


class NotOwnerError(Exception):
    """The conversation is another user's, or of one that nobody named."""

    def __init__(self) -> None:
        super().__init__("the conversation belongs to another user")


class IdReusedError(Exception):
    """The client's id came before with another text, or asked another for an answer."""


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
    wants_person: bool = False

    @property
    def turn_id(self) -> str:
        return cloudevents.ingress_id(self.conversation_id, self.client_id)


async def submit(  # noqa: PLR0913 - the fields of a message
    *,
    conversation_id: str,
    client_id: str,
    text: str,
    user: str,
    tier: str,
    linked_trace: str = "",
    wants_person: bool = False,
) -> Accepted:
    """Return once Kafka has the message. The same client_id again is the same message."""
    message = Incoming(
        conversation_id=conversation_id,
        client_id=client_id,
        text=plain(text),
        user=user,
        tier=tier,
        linked_trace=linked_trace,
        wants_person=wants_person,
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
    """Number the turn; return whether Kafka had it before.

    Who writes first owns the conversation, also where two open it at once.
    """
    for _ in range(TRIES):
        taken = await _take(message, trace_id)
        if taken is None:
            continue
        is_new, owner, text, wants_person, is_accepted, nth_latest_at = taken
        if is_new:
            return False
        if owner is not None and owner != message.user:
            raise NotOwnerError
        if text is not None:
            if (text, wants_person) != (message.text, message.wants_person):
                raise IdReusedError(message.client_id)
            return bool(is_accepted)
        if nth_latest_at is not None:
            _limit_rate(nth_latest_at)
    raise UnavailableError("too many messages of the conversation at once")


async def _take(message: Incoming, trace_id: str) -> tuple[Any, ...] | None:
    """Return nothing if the same message was taken at the same moment."""
    now = datetime.now(UTC)
    parameters = {
        "turn": message.turn_id,
        "conversation": message.conversation_id,
        "user": message.user,
        "tier": message.tier,
        "client_id": message.client_id,
        "text": message.text,
        "trace": trace_id,
        "wants_person": message.wants_person,
        "others": settings.MESSAGES_PER_MINUTE - 1,
        "now": now,
        "minute_ago": now - MINUTE,
        "deadline": now + timedelta(seconds=settings.TURN_DEADLINE_S),
    }
    database = (await resources()).database
    async with database.connection() as connection:
        try:
            cursor = await connection.execute(_TAKE, parameters)
        except UniqueViolation:
            return None
        return await cursor.fetchone()


def _limit_rate(nth_latest_at: datetime) -> None:
    wait = nth_latest_at + MINUTE - datetime.now(UTC)
    if wait > timedelta(0):
        raise RateLimitedError(wait.total_seconds())


def record_of(message: Incoming) -> Outgoing:
    """Return what Kafka gets: the same for the same message, however often."""
    data = UserMessage(
        conversation_id=message.conversation_id,
        text=message.text,
        user=message.user,
        tier=message.tier,
        client_id=message.client_id,
        wants_person=message.wants_person,
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
