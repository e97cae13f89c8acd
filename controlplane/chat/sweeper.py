"""Ends turns that nobody answered in time, and lets go of what waits for nothing any more."""

import asyncio

from django.conf import settings

from agents import registry
from agents.host import conninfo
from agents.postgres import Database
from controlplane.chat.facts import failed
from controlplane.chat.settle import settle
from controlplane.chat.sinks import limits, tell

REASON = "no answer before the deadline"

# A soft stop is a reason to wait, not to fail; after it the agents get a whole deadline.
_OVERDUE = """
SELECT t.id, t.conversation_id FROM chat_turn t
JOIN chat_outcome o ON o.turn_id = t.id AND o.effect = 'reply' AND o.state = 'open'
JOIN chat_conversation c ON c.id = t.conversation_id
WHERE t.deadline_at < now() AND o.record_id = '' AND NOT EXISTS (
  SELECT 1 FROM stops_stop s WHERE s.mode = 'soft'
    AND (s.released_at IS NULL OR s.released_at > now() - make_interval(secs => %s))
    AND (s.scope IN ('everything', 'agent') OR (s.scope, s.value) IN (
      ('workflow', c.workflow), ('tier', coalesce(nullif(t.tier, ''), c.tier)))))
ORDER BY t.deadline_at LIMIT 500
"""
# Ready, but the turn before it was never confirmed and nothing has happened since.
_WAITING = """
SELECT DISTINCT t.conversation_id FROM chat_turn t
JOIN chat_outcome o ON o.turn_id = t.id AND o.effect = 'reply' AND o.state = 'open'
WHERE o.record_id <> '' AND o.changed_at < now() - interval '10 seconds' LIMIT 500
"""


def sweep() -> None:
    asyncio.run(_sweep())


async def _sweep() -> None:
    database = Database(conninfo(), max_size=1)
    await database.open()
    try:
        async with database.connection() as connection:
            cursor = await connection.execute(_OVERDUE, [settings.TURN_DEADLINE_S])
            overdue = await cursor.fetchall()
            waiting = await (await connection.execute(_WAITING)).fetchall()
        facts = [
            failed(turn, conversation, record_id=f"sweeper:{turn}", reason=REASON)
            for turn, conversation in overdue
        ]
        poke = [row[0] for row in waiting]
        if facts or poke:
            settled = await settle(
                database,
                facts,
                actor="sweeper",
                limits=limits(),
                upstream=registry.upstream(),
                poke=poke,
            )
            await tell(settled)
    finally:
        await database.close()
