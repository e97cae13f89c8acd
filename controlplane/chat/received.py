"""How far widgets say that they have their conversations, kept once a second for a whole process."""

from agents.postgres import Database

# In the order of ids, so that two processes never wait for each other.
_KEEP = """
INSERT INTO chat_received AS r (conversation_id, seq, at)
SELECT said.id, said.seq, now() FROM unnest(%s::text[], %s::int[]) AS said (id, seq)
ORDER BY said.id
ON CONFLICT (conversation_id) DO UPDATE SET seq = excluded.seq, at = excluded.at
WHERE r.seq < excluded.seq
"""


class Collector:
    """Collects the highest number of each conversation; what was kept is never lowered."""

    def __init__(self) -> None:
        self._said: dict[str, int] = {}

    def note(self, conversation_id: str, seq: int) -> None:
        self._said[conversation_id] = max(seq, self._said.get(conversation_id, 0))

    async def keep(self, database: Database) -> None:
        """Write what was noted in one statement; it stays noted if PostgreSQL is away."""
        said = dict(sorted(self._said.items()))
        if not said:
            return
        async with database.connection() as connection:
            await connection.execute(_KEEP, [list(said), list(said.values())])
        self._said = {
            name: seq for name, seq in self._said.items() if seq > said.get(name, 0)
        }
