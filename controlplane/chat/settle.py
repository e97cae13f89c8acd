"""The delivery gate's transaction: stops and approvals are checked where the outcome is recorded."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import msgspec
from psycopg.types.json import Jsonb

from agents.postgres import Connection, Database
from controlplane.chat.settlement import Settlement
from controlplane.chat.turns import (
    ConversationState,
    DecidedApproval,
    Fact,
    Plan,
    StopInForce,
    TurnState,
    sha256,
)

# Every delivery holds it shared; a hard stop is proven once it was held exclusively.
BARRIER = 0x1A7E610C

_STOPS = """
SELECT scope, value, requested_at FROM stops_stop
WHERE mode = 'hard' AND released_at IS NULL
"""
_NEW_CONVERSATIONS = """
INSERT INTO chat_conversation
  (id, "user", tier, workflow, latest_turn, passed_turn, latest_seq, created_at)
SELECT id, u, tier, 'chat', 0, 0, 0, now()
FROM unnest(%s::text[], %s::text[], %s::text[]) AS fresh(id, u, tier)
ON CONFLICT (id) DO NOTHING
"""
_LOCK = """
SELECT id, tier, workflow, latest_turn, passed_turn, latest_seq
FROM chat_conversation WHERE id = ANY(%s) ORDER BY id FOR UPDATE
"""
_TURNS = """
SELECT t.id, t.conversation_id, t.number, t.text, t.trace_id, t.client_id,
  t.accepted_at IS NOT NULL, t.created_at,
  coalesce(o.state, 'open'), coalesce(o.record_id, ''), coalesce(o.kind, ''),
  coalesce(o.text, ''), coalesce(o.reviewed, false), coalesce(o.reason, ''),
  coalesce(o.source, ''),
  ARRAY(SELECT a.record_id FROM moderation_approval a WHERE a.turn_id = t.id), t.tier
FROM chat_turn t LEFT JOIN chat_outcome o ON o.turn_id = t.id AND o.effect = 'reply'
WHERE t.id IN (
  SELECT n.id FROM chat_conversation c
    JOIN chat_turn n ON n.conversation_id = c.id AND n.number > c.passed_turn
    WHERE c.id = ANY(%(names)s)
  UNION ALL
  SELECT n.id FROM chat_turn n
    WHERE n.id = ANY(%(turns)s) AND n.conversation_id = ANY(%(names)s))
"""
_APPROVALS = """
SELECT a.id::text, a.turn_id, a.state, d.text_sha256, d.decided_at
FROM moderation_approval a JOIN moderation_decision d ON d.approval_id = a.id
WHERE a.id = ANY(%s::uuid[])
"""
_INSERT_TURN = """
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
UPDATE chat_conversation SET latest_turn = %s, passed_turn = %s, latest_seq = %s WHERE id = %s
"""
_INSERT_AUDIT = """
INSERT INTO audit_entry (at, actor, action, subject, trace_id, detail)
VALUES (%s, %s, %s, %s, %s, %s)
"""


class Settled(msgspec.Struct, frozen=True):
    """What was committed, for those who are to be told."""

    plan: Plan
    conversations: frozenset[str]


class Limits(msgspec.Struct, frozen=True):
    turn_s: float = 120.0
    approval_s: float = 900.0


async def settle(
    database: Database,
    facts: Sequence[Fact],
    *,
    actor: str,
    limits: Limits,
    upstream: Mapping[str, frozenset[str]],
    poke: Iterable[str] = (),
) -> Settled:
    """Apply facts in one transaction, and release what is ready in those conversations.

    upstream: by the source of a text, the agents whose work is in it.
    poke: conversations to release without a fact. UnavailableError if PostgreSQL is away.
    """
    names = sorted({fact.conversation_id for fact in facts} | set(poke))
    async with database.connection() as connection, connection.transaction():
        settlement, conversations = await _read(connection, names, facts, upstream)
        for fact in facts:
            settlement.apply(fact)
        settlement.release()
        await _write(connection, settlement.plan, conversations, actor, limits)
    return Settled(settlement.plan, frozenset(names))


async def _read(
    connection: Connection,
    names: list[str],
    facts: Sequence[Fact],
    upstream: Mapping[str, frozenset[str]],
) -> tuple[Settlement, dict[str, ConversationState]]:
    """Take the shared lock first; read stops in a later statement, so in a later snapshot."""
    fresh = _introductions(facts)
    async with connection.pipeline():
        await connection.execute("SELECT pg_advisory_xact_lock_shared(%s)", [BARRIER])
        stops = await connection.execute(_STOPS)
        await connection.execute(
            _NEW_CONVERSATIONS,
            [
                list(fresh),
                [fact.user for fact in fresh.values()],
                [fact.tier for fact in fresh.values()],
            ],
        )
        locked = await connection.execute(_LOCK, [names])
        turns = await connection.execute(
            _TURNS, {"names": names, "turns": [fact.turn_id for fact in facts]}
        )
        approvals = await connection.execute(
            _APPROVALS,
            [[fact.approval_id for fact in facts if _is_uuid(fact.approval_id)]],
        )
        conversations = {
            row[0]: ConversationState(
                id=row[0],
                tier=row[1],
                workflow=row[2],
                latest_turn=row[3],
                passed_turn=row[4],
                latest_seq=row[5],
                turns={},
            )
            for row in await locked.fetchall()
        }
        for row in await turns.fetchall():
            conversations[row[1]].turns[row[0]] = _turn(row)
        decided = [DecidedApproval(*row) for row in await approvals.fetchall()]
        settlement = Settlement(
            conversations,
            stops=[StopInForce(*row) for row in await stops.fetchall()],
            approvals={approval.id: approval for approval in decided},
            upstream=upstream,
            now=datetime.now(UTC),
        )
    return settlement, conversations


def _is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True


def _introductions(facts: Sequence[Fact]) -> dict[str, Fact]:
    """Return what is known of each conversation, in their order: that of the locks.

    What the user wrote says more about a conversation than what was answered.
    """
    found: dict[str, Fact] = {}
    for fact in sorted(facts, key=lambda fact: fact.kind != "opened"):
        found.setdefault(fact.conversation_id, fact)
    return dict(sorted(found.items()))


def _turn(row: tuple[Any, ...]) -> TurnState:
    return TurnState(
        id=row[0],
        conversation_id=row[1],
        number=row[2],
        text=row[3],
        trace_id=row[4],
        client_id=row[5],
        is_accepted=row[6],
        created_at=row[7],
        state=row[8],
        record_id=row[9],
        kind=row[10],
        ready_text=row[11],
        reviewed=row[12],
        reason=row[13],
        source=row[14],
        held_records=frozenset(row[15]),
        tier=row[16],
    )


async def _write(
    connection: Connection,
    plan: Plan,
    conversations: dict[str, ConversationState],
    actor: str,
    limits: Limits,
) -> None:
    now = datetime.now(UTC)
    async with connection.pipeline(), connection.cursor() as cursor:
        for statement, rows in _statements(plan, conversations, actor, limits, now):
            if rows:
                await cursor.executemany(statement, rows)


def _statements(
    plan: Plan,
    conversations: dict[str, ConversationState],
    actor: str,
    limits: Limits,
    now: datetime,
) -> list[tuple[str, list[tuple[Any, ...]]]]:
    turns = plan.touched.values()
    turn_deadline = now + timedelta(seconds=limits.turn_s)
    approval_deadline = now + timedelta(seconds=limits.approval_s)
    return [
        (
            _INSERT_TURN,
            [
                (
                    turn.id,
                    turn.conversation_id,
                    turn.number,
                    turn.client_id,
                    turn.text,
                    turn.trace_id,
                    turn.tier,
                    now,
                    now if turn.is_accepted else None,
                    turn_deadline,
                )
                for turn in turns
                if turn.is_new
            ],
        ),
        (
            _ACCEPT_TURN,
            [
                (now, turn.text, turn.client_id, turn.id)
                for turn in turns
                if turn.is_accepted and not turn.is_new
            ],
        ),
        (
            _WRITE_OUTCOME,
            [
                (
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
                for turn in turns
            ],
        ),
        (
            _INSERT_MESSAGE,
            [
                (
                    message.conversation_id,
                    message.seq,
                    message.turn_id,
                    message.role,
                    message.text,
                    message.kind,
                    message.reviewed,
                    now,
                )
                for message in plan.messages
            ],
        ),
        (
            _INSERT_APPROVAL,
            [
                (
                    uuid4(),
                    approval.team or "general",
                    approval.turn_id,
                    approval.record_id,
                    approval.text,
                    sha256(approval.text),
                    approval.why,
                    Jsonb(msgspec.to_builtins(approval.verdict)),
                    now,
                    approval_deadline,
                )
                for approval in plan.approvals
            ],
        ),
        (
            _INSERT_DUPLICATE,
            [
                (fact.record_id, fact.turn_id, *fact.coordinates, state, now)
                for fact, state in plan.duplicates
            ],
        ),
        (
            _UPDATE_CONVERSATION,
            [
                (c.latest_turn, c.passed_turn, c.latest_seq, c.id)
                for c in conversations.values()
            ],
        ),
        (
            _INSERT_AUDIT,
            [
                (
                    now,
                    actor,
                    line.action,
                    line.subject,
                    line.trace_id,
                    Jsonb(line.detail),
                )
                for line in plan.audit
            ],
        ),
    ]
