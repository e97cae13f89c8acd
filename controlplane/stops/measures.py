"""What rules of automatic stops count, over plain psycopg: one query a metric."""

from datetime import datetime
from typing import Any, LiteralString

import psycopg

from agents import registry
from agents.postgres import Connection
from controlplane.stops.targets import agents_in
from controlplane.stops.tripping import Figure, Terms

TIMEOUT_MS = 1_000

# The table's own columns say of what each row is; a condition that is not for this scope is left out.
_FLAGGED: LiteralString = """
SELECT count(*) FILTER (WHERE is_flagged), count(*) FROM (
  SELECT is_flagged FROM chat_judgement WHERE judged_at > %(since)s {only}
  ORDER BY judged_at DESC LIMIT %(window)s) latest
"""
_MODEL_ERRORS: LiteralString = """
SELECT count(*) FILTER (WHERE kind = 'fallback'), count(*) FROM (
  SELECT kind FROM chat_modelcall WHERE created_at > %(since)s {only}
  ORDER BY created_at DESC LIMIT %(window)s) latest
"""
# What is said of answers from before counts no more than they do.
_NEGATIVE: LiteralString = """
SELECT count(*) FILTER (WHERE rating = 'down'), count(*) FROM (
  SELECT f.rating FROM chat_feedback f
    JOIN chat_message m ON m.id = f.message_id
    JOIN chat_turn t ON t.id = m.turn_id
    JOIN chat_conversation c ON c.id = t.conversation_id
  WHERE f.given_at > %(since)s AND m.delivered_at > %(since)s {only}
  ORDER BY f.given_at DESC LIMIT %(window)s) latest
"""
_DEAD_LETTERS: LiteralString = """
SELECT count(*), count(*) FROM deadletters_letter
WHERE at > greatest(%(since)s, now() - make_interval(secs => %(window)s)) {only}
"""
_STATEMENTS = {
    "flagged_share": _FLAGGED,
    "model_error_share": _MODEL_ERRORS,
    "negative_feedback_share": _NEGATIVE,
    "dead_letters_per_minute": _DEAD_LETTERS,
}
# Model calls of a workflow or an agent are all of them, or the rule is refused.
_ONLY: dict[tuple[str, str], LiteralString] = {
    ("flagged_share", "workflow"): "AND workflow = %(value)s",
    ("flagged_share", "agent"): "AND source = ANY(%(sources)s)",
    ("flagged_share", "tier"): "AND tier = %(value)s",
    ("model_error_share", "tier"): "AND tier = %(value)s",
    ("negative_feedback_share", "workflow"): "AND c.workflow = %(value)s",
    ("negative_feedback_share", "tier"): (
        "AND coalesce(nullif(t.tier, ''), c.tier) = %(value)s"
    ),
    ("dead_letters_per_minute", "workflow"): "AND agent = ANY(%(agents)s)",
    ("dead_letters_per_minute", "agent"): "AND agent = ANY(%(agents)s)",
}


async def count(
    connection: Connection, terms: Terms, *, scope: str, value: str, since: datetime
) -> Figure:
    """Count what PostgreSQL knows, in the caller's transaction. Too slow is unknown."""
    statement = _STATEMENTS[terms.metric]
    only = _ONLY.get((terms.metric, scope), "")
    parameters: dict[str, Any] = {
        "since": since,
        "window": terms.window,
        "value": value,
        "agents": agents_in(scope, value),
        "sources": [s for s, those in registry.upstream().items() if value in those],
    }
    try:
        async with connection.transaction():
            cursor = await connection.execute(statement.format(only=only), parameters)
            row = await cursor.fetchone()
    except psycopg.errors.QueryCanceled:
        return Figure(unknown=f"PostgreSQL needed more than {TIMEOUT_MS:,} ms to count")
    assert row is not None
    return Figure(count=row[0], items=row[1])
