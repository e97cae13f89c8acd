"""The history port: what a conversation's two sides have seen."""

from typing import Literal

from agents.agent import Said
from agents.postgres import Database

LATEST = 20
CORRECTION = "Correction to an earlier answer: "
# A turn that nobody has numbered yet comes after all that have a number.
_DELIVERED = """
SELECT m.role, m.text, m.kind FROM chat_message m
JOIN chat_turn t ON t.id = m.turn_id
JOIN chat_outcome o ON o.turn_id = t.id AND o.effect = 'reply'
WHERE m.conversation_id = %(conversation)s
  AND o.state = 'delivered' AND o.kind <> 'refusal'
  AND t.number < coalesce(
    (SELECT number FROM chat_turn
      WHERE id = %(turn)s AND conversation_id = %(conversation)s), 2147483647)
ORDER BY m.seq DESC LIMIT %(latest)s
"""


class DeliveredHistory:
    """Reads earlier turns that were answered: no draft, nothing refused, held or unchecked."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def delivered(self, conversation_id: str, *, before: str) -> list[Said]:
        async with self._database.connection() as connection:
            cursor = await connection.execute(
                _DELIVERED,
                {"conversation": conversation_id, "turn": before, "latest": LATEST},
            )
            rows = await cursor.fetchall()
        return [_said(*row) for row in reversed(rows)]


def _said(role: Literal["user", "assistant"], text: str, kind: str) -> Said:
    """A correction may come long after the answer that it takes back: it says that it is one."""
    return Said(role, f"{CORRECTION}{text}" if kind == "correction" else text)
