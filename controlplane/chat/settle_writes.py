"""The rows of a settlement: what its plan writes, in one statement."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

import msgspec

from agents.postgres import Connection
from controlplane.chat.turns import Plan

INSERT_CONVERSATIONS = """
INSERT INTO chat_conversation
  (id, "user", tier, workflow, latest_turn, passed_turn, latest_seq, created_at)
SELECT id, u, tier, 'chat', 0, 0, 0, now()
FROM unnest(%s::text[], %s::text[], %s::text[]) AS fresh(id, u, tier)
ON CONFLICT (id) DO NOTHING
"""
# Each part writes rows that it finds in the plan under its own name. A conflict is found by the
# index that it names, so no plan of the planner's can be slow.
_PARTS = {
    # Turns that are new to us, and those that Kafka is now known to have.
    "turns": """
INSERT INTO chat_turn AS t
  (id, conversation_id, number, client_id, text, trace_id, tier, created_at, accepted_at,
  deadline_at)
SELECT r.id, r.conversation_id, r.number, r.client_id, r.text, r.trace_id, r.tier, now.at,
  CASE WHEN r.is_accepted THEN now.at END, now.turn_deadline
FROM now, jsonb_to_recordset(rows) AS r (id text, conversation_id text, number int,
  client_id text, text text, trace_id text, tier text, is_accepted bool)
ON CONFLICT (id) DO UPDATE SET accepted_at = excluded.accepted_at, text = excluded.text,
  client_id = excluded.client_id
WHERE t.accepted_at IS NULL
""",
    "outcomes": """
INSERT INTO chat_outcome
  (turn_id, effect, state, record_id, kind, text, reviewed, reason, source, changed_at)
SELECT r.id, 'reply', r.state, r.record_id, r.kind, r.ready_text, r.reviewed, r.reason,
  r.source, now.at
FROM now, jsonb_to_recordset(rows) AS r (id text, state text, record_id text, kind text,
  ready_text text, reviewed bool, reason text, source text)
ON CONFLICT (turn_id, effect) DO UPDATE SET state = excluded.state,
  record_id = excluded.record_id, kind = excluded.kind, text = excluded.text,
  reviewed = excluded.reviewed, reason = excluded.reason, source = excluded.source,
  changed_at = excluded.changed_at
""",
    "messages": """
INSERT INTO chat_message
  (conversation_id, seq, turn_id, role, text, kind, reviewed, copy_id, delivered_at)
SELECT r.conversation_id, r.seq, r.turn_id, r.role, r.text, r.kind, r.reviewed, r.copy_id, now.at
FROM now, jsonb_to_recordset(rows) AS r (conversation_id text, seq int, turn_id text,
  role text, text text, kind text, reviewed bool, copy_id bigint)
""",
    "approvals": """
INSERT INTO moderation_approval (id, team, state, turn_id, effect, record_id, text,
  text_sha256, why, verdict, created_at, deadline_at)
SELECT gen_random_uuid(), coalesce(nullif(r.team, ''), 'general'), 'pending', r.turn_id,
  'reply', r.record_id, r.text, encode(sha256(convert_to(r.text, 'UTF8')), 'hex'), r.why,
  r.verdict, now.at, now.approval_deadline
FROM now, jsonb_to_recordset(rows) AS r (team text, turn_id text, record_id text, text text,
  why text, verdict jsonb)
""",
    # By PostgreSQL's clock, as the releases of stops: rules look at what came after one.
    "judgements": """
INSERT INTO chat_judgement (turn_id, workflow, tier, source, is_flagged, judged_at)
SELECT r.turn_id, r.workflow, r.tier, r.source, r.is_flagged, clock_timestamp()
FROM jsonb_to_recordset(rows) AS r (turn_id text, workflow text, tier text, source text,
  is_flagged bool)
ON CONFLICT (turn_id) DO NOTHING
""",
    "duplicates": """
INSERT INTO chat_duplicate
  (record_id, turn_id, topic, partition, "offset", outcome_state, seen_at)
SELECT r.record_id, r.turn_id, r.coordinates ->> 0, (r.coordinates ->> 1)::int,
  (r.coordinates ->> 2)::bigint, r.state, now.at
FROM now, jsonb_to_recordset(rows) AS r (record_id text, turn_id text, coordinates jsonb,
  state text)
ON CONFLICT (record_id) DO NOTHING
""",
    "conversations": """
INSERT INTO chat_conversation
  (id, "user", tier, workflow, latest_turn, passed_turn, latest_seq, created_at)
SELECT r.id, r."user", r.tier, r.workflow, r.latest_turn, r.passed_turn, r.latest_seq, now.at
FROM now, jsonb_to_recordset(rows) AS r (id text, "user" text, tier text, workflow text,
  latest_turn int, passed_turn int, latest_seq int)
ON CONFLICT (id) DO UPDATE SET "user" = excluded."user", tier = excluded.tier,
  latest_turn = excluded.latest_turn, passed_turn = excluded.passed_turn,
  latest_seq = excluded.latest_seq
""",
    "copies": """
UPDATE chat_correctioncopy c SET state = r.state, why = r.why, seq = r.seq, changed_at = now.at
FROM now, jsonb_to_recordset(rows) AS r (id bigint, state text, why text, seq int)
WHERE c.id = r.id
""",
    "audit": """
INSERT INTO audit_entry (at, actor, action, subject, trace_id, detail)
SELECT now.at, now.actor, r.action, r.subject, r.trace_id, r.detail
FROM now, jsonb_to_recordset(rows) AS r (action text, subject text, trace_id text,
  detail jsonb)
""",
}


class Limits(msgspec.Struct, frozen=True):
    turn_s: float = 120.0
    approval_s: float = 900.0


async def write(
    connection: Connection, plan: Plan, *, actor: str, limits: Limits
) -> None:
    """Write all of it in one statement, which is prepared once for each set of parts."""
    rows: dict[str, Any] = {
        "turns": plan.turns,
        "outcomes": plan.turns,
        "messages": plan.messages,
        "approvals": plan.approvals,
        "judgements": plan.judgements,
        "duplicates": plan.duplicates,
        "conversations": plan.conversations,
        "copies": plan.copies,
        "audit": plan.audit,
    }
    rows = {name: each for name, each in rows.items() if each}
    if not rows:
        return
    now = datetime.now(UTC)
    parameters = [
        now,
        actor,
        now + timedelta(seconds=limits.turn_s),
        now + timedelta(seconds=limits.approval_s),
        *(msgspec.json.encode(each).decode() for each in rows.values()),
    ]
    await connection.execute(_statement(tuple(rows)), parameters)


@lru_cache
def _statement(parts: Iterable[str]) -> str:
    """Return one statement of these parts; all see the same moment."""
    written = ",\n".join(
        f"{name} AS ({_PARTS[name].replace('rows', '%s::jsonb')})" for name in parts
    )
    return (
        "WITH now (at, actor, turn_deadline, approval_deadline) AS (VALUES"
        " (%s::timestamptz, %s::text, %s::timestamptz, %s::timestamptz)),\n"
        f"{written}\nSELECT 1"
    )
