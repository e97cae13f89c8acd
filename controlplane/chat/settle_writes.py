"""The rows of a settlement: what its plan writes, in one pipeline."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import msgspec
from psycopg.types.json import Jsonb

from agents.postgres import Connection
from controlplane.chat.turns import (
    AuditLine,
    ConversationState,
    Fact,
    NewApproval,
    NewMessage,
    Plan,
    State,
    TurnState,
    sha256,
)

Row = tuple[Any, ...]

INSERT_CONVERSATIONS = """
INSERT INTO chat_conversation
  (id, "user", tier, workflow, latest_turn, passed_turn, latest_seq, created_at)
SELECT id, u, tier, 'chat', 0, 0, 0, now()
FROM unnest(%s::text[], %s::text[], %s::text[]) AS fresh(id, u, tier)
ON CONFLICT (id) DO NOTHING
"""
INSERT_TURN = """
INSERT INTO chat_turn
  (id, conversation_id, number, client_id, text, trace_id, tier, created_at, accepted_at,
  deadline_at)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
"""
_ACCEPT_TURN = """
UPDATE chat_turn SET accepted_at = %s, text = %s, client_id = %s
WHERE id = %s AND accepted_at IS NULL
"""
_WRITE_OUTCOME = """
INSERT INTO chat_outcome
  (turn_id, effect, state, record_id, kind, text, reviewed, reason, source, changed_at)
VALUES (%s, 'reply', %s, %s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (turn_id, effect) DO UPDATE SET state = excluded.state,
  record_id = excluded.record_id, kind = excluded.kind, text = excluded.text,
  reviewed = excluded.reviewed, reason = excluded.reason, source = excluded.source,
  changed_at = excluded.changed_at
"""
_INSERT_MESSAGE = """
INSERT INTO chat_message
  (conversation_id, seq, turn_id, role, text, kind, reviewed, delivered_at)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s)
"""
_INSERT_APPROVAL = """
INSERT INTO moderation_approval (id, team, state, turn_id, effect, record_id, text,
  text_sha256, why, verdict, created_at, deadline_at)
VALUES (%s, %s, 'pending', %s, 'reply', %s, %s, %s, %s, %s, %s, %s)
"""
_INSERT_DUPLICATE = """
INSERT INTO chat_duplicate
  (record_id, turn_id, topic, partition, "offset", outcome_state, seen_at)
VALUES (%s, %s, %s, %s, %s, %s, %s) ON CONFLICT (record_id) DO NOTHING
"""
_UPDATE_CONVERSATION = """
UPDATE chat_conversation
SET "user" = %s, tier = %s, latest_turn = %s, passed_turn = %s, latest_seq = %s
WHERE id = %s
"""
_INSERT_AUDIT = """
INSERT INTO audit_entry (at, actor, action, subject, trace_id, detail)
VALUES (%s, %s, %s, %s, %s, %s)
"""


class Limits(msgspec.Struct, frozen=True):
    turn_s: float = 120.0
    approval_s: float = 900.0


async def write(
    connection: Connection,
    plan: Plan,
    conversations: Iterable[ConversationState],
    *,
    actor: str,
    limits: Limits,
) -> None:
    """Call it in a pipeline: the rows go out together."""
    now = datetime.now(UTC)
    written = [
        *_turns(plan, limits, now),
        (_INSERT_MESSAGE, [_message(line, now) for line in plan.messages]),
        (_INSERT_APPROVAL, [_approval(held, limits, now) for held in plan.approvals]),
        (_INSERT_DUPLICATE, [_duplicate(*found, now) for found in plan.duplicates]),
        (_UPDATE_CONVERSATION, [_conversation(known) for known in conversations]),
        (_INSERT_AUDIT, [_audit(line, actor, now) for line in plan.audit]),
    ]
    async with connection.cursor() as cursor:
        for statement, rows in written:
            if rows:
                await cursor.executemany(statement, rows)


def _turns(
    plan: Plan, limits: Limits, now: datetime
) -> Iterator[tuple[str, list[Row]]]:
    """New turns, then those that Kafka is now known to have, then the outcomes of all."""
    turns = plan.touched.values()
    new = [turn for turn in turns if turn.is_new]
    accepted = [turn for turn in turns if turn.is_accepted and not turn.is_new]
    yield INSERT_TURN, [_new_turn(turn, limits, now) for turn in new]
    yield (
        _ACCEPT_TURN,
        [(now, turn.text, turn.client_id, turn.id) for turn in accepted],
    )
    yield _WRITE_OUTCOME, [_outcome(turn, now) for turn in turns]


def _new_turn(turn: TurnState, limits: Limits, now: datetime) -> Row:
    return (
        turn.id,
        turn.conversation_id,
        turn.number,
        turn.client_id,
        turn.text,
        turn.trace_id,
        turn.tier,
        now,
        now if turn.is_accepted else None,
        now + timedelta(seconds=limits.turn_s),
    )


def _outcome(turn: TurnState, now: datetime) -> Row:
    return (
        turn.id,
        turn.state,
        turn.record_id,
        turn.kind,
        turn.ready_text,
        turn.reviewed,
        turn.reason,
        turn.source,
        now,
    )


def _message(line: NewMessage, now: datetime) -> Row:
    return (
        line.conversation_id,
        line.seq,
        line.turn_id,
        line.role,
        line.text,
        line.kind,
        line.reviewed,
        now,
    )


def _approval(held: NewApproval, limits: Limits, now: datetime) -> Row:
    return (
        uuid4(),
        held.team or "general",
        held.turn_id,
        held.record_id,
        held.text,
        sha256(held.text),
        held.why,
        Jsonb(msgspec.to_builtins(held.verdict)),
        now,
        now + timedelta(seconds=limits.approval_s),
    )


def _duplicate(fact: Fact, state: State, now: datetime) -> Row:
    return (fact.record_id, fact.turn_id, *fact.coordinates, state, now)


def _conversation(known: ConversationState) -> Row:
    return (
        known.user,
        known.tier,
        known.latest_turn,
        known.passed_turn,
        known.latest_seq,
        known.id,
    )


def _audit(line: AuditLine, actor: str, now: datetime) -> Row:
    detail = Jsonb(line.detail)
    return (now, actor, line.action, line.subject, line.trace_id, detail)
