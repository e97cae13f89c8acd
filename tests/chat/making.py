"""Facts, events and rows of the chat's tests. Say only what the test is about."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar
from uuid import uuid4

import msgspec
from asgiref.sync import sync_to_async
from django.db import connections
from psycopg.types.json import Jsonb

from agents import cloudevents, registry
from agents.agent import Event
from agents.cloudevents import Envelope
from agents.events import Payload
from agents.postgres import Database
from agents.records import Record
from controlplane.chat import tasks
from controlplane.chat.copies import record_id_of
from controlplane.chat.settle import Settled, settle
from controlplane.chat.settle_writes import Limits
from controlplane.chat.turns import Fact, sha256
from guardrails.verdicts import Finding, Verdict

T = TypeVar("T")

ESCALATE = Verdict(action="escalate", team="discount")
TRACE = "ab" * 16
CORRECTION = "7c3b6a52-6f0c-4d1e-9a53-2f0c6f5f2a41"
CORRECTED = "It costs 58,000 euros."


def opened(turn: str = "t1", conversation: str = "c1", **fields: Any) -> Fact:
    defaults = {"record_id": turn, "text": f"question {turn}", "client_id": turn}
    return _fact("opened", turn, conversation, defaults | fields)


def reply(turn: str = "t1", conversation: str = "c1", **fields: Any) -> Fact:
    defaults = {"record_id": f"final-{turn}", "text": f"answer {turn}"}
    return _fact("reply", turn, conversation, defaults | fields)


def hold(turn: str = "t1", conversation: str = "c1", **fields: Any) -> Fact:
    defaults = {
        "record_id": f"pending-{turn}",
        "text": f"risky {turn}",
        "team": "discount",
        "verdict": ESCALATE,
        "reason": "25 over 5",
    }
    return _fact("hold", turn, conversation, defaults | fields)


def failed(turn: str = "t1", conversation: str = "c1", **fields: Any) -> Fact:
    defaults = {"record_id": f"dlq-{turn}", "reason": "no answer"}
    return _fact("failed", turn, conversation, defaults | fields)


def decided(
    kind: str, approval: str, turn: str = "t1", conversation: str = "c1", **fields: Any
) -> Fact:
    defaults = {
        "record_id": f"{kind}-{approval}",
        "approval_id": approval,
        "text": f"risky {turn}",
        "source": "moderation",
    }
    return _fact(kind, turn, conversation, defaults | fields)


def correction(
    correction_id: str = CORRECTION,
    turn: str = "t1",
    conversation: str = "c1",
    **fields: Any,
) -> Fact:
    kind, tries = fields.pop("kind", "correction"), fields.pop("tries", 1)
    defaults = {
        "record_id": record_id_of(correction_id, conversation, tries),
        "correction_id": correction_id,
        "text": CORRECTED,
        "source": "corrections",
    }
    return _fact(kind, turn, conversation, defaults | fields)


def _fact(kind: str, turn: str, conversation: str, fields: dict[str, Any]) -> Fact:
    defaults: dict[str, Any] = {"trace_id": TRACE, "source": "output-guard"}
    return Fact(
        kind=kind,  # type: ignore[arg-type]
        turn_id=turn,
        conversation_id=conversation,
        **(defaults | fields),
    )


def finding(**fields: Any) -> Finding:
    defaults = {
        "rule": "discount-free",
        "name": "Discount above the limit",
        "version": 1,
        "kind": "terms",
        "action": "escalate",
        "severity": "high",
        "start": 0,
        "end": 4,
        "said": "25 %",
    }
    return msgspec.convert(defaults | fields, Finding)


def event(topic: str, data: Payload, **fields: Any) -> Event[Any]:
    """Return an event as a sink gets it."""
    defaults = {
        "id": str(uuid4()),
        "type": type(data).__name__,
        "source": "output-guard",
        "trace_id": TRACE,
    }
    envelope = Envelope(**(defaults | fields))
    return Event(
        data=data,
        envelope=envelope,
        record=record(
            topic,
            value=msgspec.json.encode(data),
            headers=cloudevents.encode_headers(envelope),
        ),
    )


def record(topic: str = "user.messages.raw", **fields: Any) -> Record:
    defaults: dict[str, Any] = {
        "partition": 0,
        "offset": 0,
        "timestamp_ms": int(datetime.now(UTC).timestamp() * 1000),
        "key": b"c1",
        "value": b"{}",
        "headers": [],
    }
    return Record(topic=topic, **(defaults | fields))


async def commit(database: Database, *facts: Fact, **options: Any) -> Settled:
    """Settle as the gate does."""
    defaults: dict[str, Any] = {
        "actor": "gate",
        "limits": Limits(),
        "upstream": registry.upstream(),
    }
    return await settle(database, list(facts), **(defaults | options))


async def rows(
    database: Database, statement: str, parameters: Sequence[Any] | dict[str, Any] = ()
) -> list[tuple[Any, ...]]:
    async with database.connection() as connection:
        cursor = await connection.execute(statement.encode(), parameters)
        return await cursor.fetchall() if cursor.description else []


async def transcript_of(database: Database, conversation: str = "c1") -> list[str]:
    """Return the lines as `1 user question t1`."""
    found = await rows(
        database,
        "SELECT seq, role, text FROM chat_message WHERE conversation_id = %s ORDER BY seq",
        [conversation],
    )
    return [f"{seq} {role} {text}" for seq, role, text in found]


async def states_of(database: Database) -> dict[str, str]:
    return dict(
        await rows(database, "SELECT turn_id, state FROM chat_outcome ORDER BY turn_id")
    )


async def decide(  # the columns of a decision
    database: Database,
    turn: str = "t1",
    *,
    state: str = "approved",
    text: str | None = None,
    at: datetime | None = None,
    with_decision: bool = True,
) -> str:
    """Do to the pending approval what a moderator's decision does; return its id."""
    [[approval, held]] = await rows(
        database,
        "UPDATE moderation_approval SET state = %s WHERE turn_id = %s AND state = 'pending' "
        "RETURNING id::text, text",
        [state, turn],
    )
    text = held if text is None else text
    if with_decision:
        await rows(
            database,
            "INSERT INTO moderation_decision (approval_id, verdict, text, text_sha256, reason, "
            "decided_by_id, decided_at) VALUES (%s, %s, %s, %s, 'because', %s, %s)",
            [
                approval,
                "approve" if state == "approved" else "reject",
                text,
                sha256(text),
                await _moderator(database),
                at or datetime.now(UTC),
            ],
        )
    return str(approval)


async def _moderator(database: Database) -> int:
    await rows(
        database,
        "INSERT INTO auth_user (username, password, is_superuser, is_staff, is_active, "
        "first_name, last_name, email, date_joined) "
        "VALUES ('mira', '', false, false, true, '', '', '', now()) ON CONFLICT DO NOTHING",
    )
    [[key]] = await rows(database, "SELECT id FROM auth_user WHERE username = 'mira'")
    return int(key)


async def put_stop(
    database: Database,
    *,
    scope: str = "everything",
    value: str = "",
    mode: str = "hard",
) -> None:
    """Put a stop in force as a committed row; the actions have tests of their own."""
    await rows(
        database,
        "INSERT INTO stops_stop (id, mode, scope, value, reason, requested_by, requested_at, "
        "release_reason) VALUES (gen_random_uuid(), %s, %s, %s, 'drill', %s, %s, '')",
        [mode, scope, value, "ada", datetime.now(UTC)],
    )


async def lift_stops(database: Database) -> None:
    await rows(
        database,
        "UPDATE stops_stop SET releasing_at = now(), released_at = now(), released_by = requested_by, "
        "release_reason = 'over' WHERE releasing_at IS NULL",
    )


def as_json(verdict: Verdict) -> Jsonb:
    return Jsonb(msgspec.to_builtins(verdict))


async def in_a_thread(act: Callable[[], T]) -> T:
    """Act as a task does, whose connections Celery closes."""

    def run() -> T:
        try:
            return act()
        finally:
            connections.close_all()

    return await sync_to_async(run, thread_sensitive=False)()


async def sweep() -> None:
    await in_a_thread(tasks.sweep_overdue_turns)
