"""The history port: what a conversation's two sides have seen."""

from agents.agent import Said
from agents.postgres import Database

LATEST = 20
_DELIVERED = """
SELECT role, text FROM chat_message
WHERE conversation_id = %s AND turn_id <> %s ORDER BY seq DESC LIMIT %s
"""


class DeliveredHistory:
    """Reads the transcript: delivered texts, never a raw draft."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def delivered(self, conversation_id: str, *, before: str) -> list[Said]:
        async with self._database.connection() as connection:
            cursor = await connection.execute(
                _DELIVERED, [conversation_id, before, LATEST]
            )
            rows = await cursor.fetchall()
        return [Said(role, text) for role, text in reversed(rows)]
