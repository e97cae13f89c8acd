"""The delivery gate's transaction: stops and approvals are checked where the outcome is recorded."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from agents.postgres import Connection, Database, in_two_trips
from controlplane.chat.settle_copies import is_uuid, read_copies
from controlplane.chat.settle_writes import INSERT_CONVERSATIONS, Limits, write
from controlplane.chat.settlement import Settlement
from controlplane.chat.turns import (
    ConversationState,
    DecidedApproval,
    Fact,
    Plan,
    StopInForce,
    TurnState,
)

# Every delivery holds it shared; a hard stop is proven once it was held exclusively.
BARRIER = 0x1A7E610C
# With it, on each conversation of the delivery: so a stop can tell what its proof waits for.
AT_WORK = 0x1A7E

Row = tuple[Any, ...]

# The barrier is in a statement before the one that reads stops: that one's snapshot is later.
_ENTER = """
SELECT pg_advisory_xact_lock_shared(%s), count(*) FROM (
  SELECT pg_advisory_xact_lock_shared(%s, hashtext(id)) FROM unnest(%s::text[]) AS named(id)) each
"""
_STOPS = """
SELECT scope, value, requested_at FROM stops_stop
WHERE mode = 'hard' AND releasing_at IS NULL
"""
_LOCK = """
SELECT id, tier, workflow, latest_turn, passed_turn, latest_seq, "user"
FROM chat_conversation WHERE id = ANY(%s) ORDER BY id FOR UPDATE
"""
# OFFSET 0: nobody can tell the planner that a conversation has few turns that are not passed.
_TURNS = """
SELECT t.id, t.conversation_id, t.number, t.text, t.trace_id, t.client_id,
  t.accepted_at IS NOT NULL, t.created_at,
  coalesce(o.state, 'open'), coalesce(o.record_id, ''), coalesce(o.kind, ''),
  coalesce(o.text, ''), coalesce(o.reviewed, false), coalesce(o.reason, ''),
  coalesce(o.source, ''),
  ARRAY(SELECT a.record_id FROM moderation_approval a WHERE a.turn_id = t.id), t.tier,
  ARRAY(SELECT m.role FROM chat_message m WHERE m.turn_id = t.id AND m.copy_id IS NULL)
FROM (
  SELECT n.* FROM unnest(%(names)s::text[]) AS named(id)
    CROSS JOIN LATERAL (
      SELECT passed_turn FROM chat_conversation WHERE id = named.id OFFSET 0) c
    CROSS JOIN LATERAL (
      SELECT * FROM chat_turn
      WHERE conversation_id = named.id AND number > c.passed_turn OFFSET 0) n
  UNION
  SELECT n.* FROM unnest(%(turns)s::text[]) AS told(id)
    CROSS JOIN LATERAL (
      SELECT * FROM chat_turn
      WHERE id = told.id AND conversation_id = ANY(%(names)s) OFFSET 0) n
) t
LEFT JOIN LATERAL (
  SELECT * FROM chat_outcome WHERE turn_id = t.id AND effect = 'reply' OFFSET 0) o ON true
"""
_APPROVALS = """
SELECT a.id::text, a.turn_id, a.state, d.text_sha256, d.decided_at, d.text, a.team
FROM moderation_approval a JOIN moderation_decision d ON d.approval_id = a.id
WHERE a.id = ANY(%s::uuid[])
"""


class Settled(msgspec.Struct, frozen=True):
    """What was committed, and the conversations that it changed."""

    plan: Plan
    conversations: frozenset[str]


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
    async with database.connection() as connection, in_two_trips(connection):
        settlement = await _read(connection, names, facts, upstream)
        for fact in facts:
            settlement.apply(fact)
        plan = settlement.release()
        await write(connection, plan, actor=actor, limits=limits)
    changed = frozenset(turn.conversation_id for turn in plan.turns)
    return Settled(plan, changed | {line.conversation_id for line in plan.messages})


async def _read(
    connection: Connection,
    names: list[str],
    facts: Sequence[Fact],
    upstream: Mapping[str, frozenset[str]],
) -> Settlement:
    """Take the shared lock first; read stops in a later statement, so in a later snapshot."""
    await connection.execute(_ENTER, [BARRIER, AT_WORK, names])
    stops = await connection.execute(_STOPS)
    locked, turns = await _lock(connection, names, facts)
    if len(locked) < len(names):  # no widget has opened it
        await connection.execute(INSERT_CONVERSATIONS, _introductions(facts))
        locked, turns = await _lock(connection, names, facts)
    return Settlement(
        _conversations(locked, turns),
        stops=[StopInForce(*row) for row in await stops.fetchall()],
        approvals=await _decided(connection, facts),
        corrections=await read_copies(connection, facts),
        upstream=upstream,
        now=datetime.now(UTC),
    )


async def _lock(
    connection: Connection, names: list[str], facts: Sequence[Fact]
) -> tuple[list[Row], list[Row]]:
    """Lock the conversations in order; return them and their turns."""
    locked = await connection.execute(_LOCK, [names])
    turns = await connection.execute(
        _TURNS, {"names": names, "turns": [fact.turn_id for fact in facts]}
    )
    return await locked.fetchall(), await turns.fetchall()


async def _decided(
    connection: Connection, facts: Sequence[Fact]
) -> dict[str, DecidedApproval]:
    asked = [fact.approval_id for fact in facts if is_uuid(fact.approval_id)]
    if not asked:
        return {}
    rows = await connection.execute(_APPROVALS, [asked])
    return {row[0]: DecidedApproval(*row) for row in await rows.fetchall()}


def _introductions(facts: Sequence[Fact]) -> list[list[str]]:
    """Return ids, users and tiers of the conversations, in the order of their locks.

    What the user wrote says more about a conversation than what was answered.
    """
    found: dict[str, Fact] = {}
    for fact in sorted(facts, key=lambda fact: fact.kind != "opened"):
        found.setdefault(fact.conversation_id, fact)
    names = sorted(found)
    return [
        names,
        [found[name].user for name in names],
        [found[name].tier for name in names],
    ]


def _conversations(
    rows: Sequence[Row], turns: Sequence[Row]
) -> dict[str, ConversationState]:
    conversations = {row[0]: _conversation(row) for row in rows}
    for row in turns:
        conversations[row[1]].turns[row[0]] = _turn(row)
    return conversations


def _conversation(row: Row) -> ConversationState:
    return ConversationState(
        id=row[0],
        tier=row[1],
        workflow=row[2],
        latest_turn=row[3],
        passed_turn=row[4],
        latest_seq=row[5],
        user=row[6],
        turns={},
    )


def _turn(row: Row) -> TurnState:
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
        lines=frozenset(row[17]),
    )
