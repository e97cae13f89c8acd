"""Reads the copies of corrections that facts name, in the gate's transaction."""

from collections.abc import Sequence
from uuid import UUID

from agents.postgres import Connection
from controlplane.chat.turns import CopyState, Fact

# Their conversations are locked, and so are they: who changes a copy locks its conversation.
_COPIES = """
SELECT c.id, c.correction_id::text, c.conversation_id, c.turn_id, c.seen_turn, c.confirmed,
  c.asked_at, c.tries, c.state, k.text_sha256, c.why, c.seq
FROM unnest(%s::uuid[], %s::text[]) AS named(correction_id, conversation_id)
JOIN chat_correctioncopy c USING (correction_id, conversation_id)
JOIN chat_correction k ON k.id = c.correction_id
"""


async def read_copies(connection: Connection, facts: Sequence[Fact]) -> list[CopyState]:
    named = {
        (fact.correction_id, fact.conversation_id)
        for fact in facts
        if is_uuid(fact.correction_id)
    }
    if not named:
        return []
    rows = await connection.execute(
        _COPIES, [[one for one, _ in named], [where for _, where in named]]
    )
    return [
        CopyState(**dict(zip(CopyState.__struct_fields__, row, strict=True)))
        for row in await rows.fetchall()
    ]


def is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True
