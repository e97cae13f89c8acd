"""Reads what sockets show: the rows after a cursor, and the state of turns that are open."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

import msgspec

from agents.postgres import Database
from controlplane.chat.copies import KIND

Status = Literal["checking", "thinking", "waiting_for_person", "paused", "failed"]

# OFFSET 0: nobody can tell the planner that few rows are after a cursor.
_MESSAGES = """
SELECT m.conversation_id, m.seq, m.role, m.text, m.reviewed, m.kind, m.delivered_at,
  t.trace_id, t.client_id,
  coalesce((SELECT f.rating FROM chat_feedback f WHERE f.message_id = m.id), ''), t.text,
  coalesce((SELECT p.turn_id = m.turn_id FROM chat_message p
    WHERE p.conversation_id = m.conversation_id AND p.seq = m.seq - 1), false)
FROM unnest(%s::text[], %s::int[]) AS w(id, cursor)
CROSS JOIN LATERAL (
  SELECT * FROM chat_message m WHERE m.conversation_id = w.id AND m.seq > w.cursor OFFSET 0) m
CROSS JOIN LATERAL (SELECT * FROM chat_turn t WHERE t.id = m.turn_id OFFSET 0) t
ORDER BY m.conversation_id, m.seq
"""
# Of the rows, not the conversation's counter: a restore moves that one ahead.
_LATEST_SEQ = """
SELECT seq FROM chat_message WHERE conversation_id = %s ORDER BY seq DESC LIMIT 1
"""
_BEHIND = """
SELECT w.id FROM unnest(%s::text[], %s::int[]) AS w(id, cursor)
JOIN chat_conversation c ON c.id = w.id AND c.latest_seq > w.cursor
WHERE EXISTS (SELECT FROM chat_message m WHERE m.conversation_id = c.id AND m.seq > w.cursor)
"""
# The latest hop tells checking from thinking; an approval tells since when a person is asked.
# A turn without an outcome is one that intake has not seen: Kafka may or may not have it.
_TURNS = """
WITH asked AS MATERIALIZED (SELECT unnest(%s::text[]) AS id)
SELECT t.conversation_id, t.trace_id, t.client_id, t.state, t.wants_person,
  t.accepted_at IS NOT NULL,
  coalesce(t.accepted_at, t.created_at),
  (SELECT max(a.created_at) FROM moderation_approval a
    WHERE a.turn_id = t.id AND a.state = 'pending'),
  (SELECT r.topic FROM traces_record r WHERE r.trace_id = t.trace_id
    ORDER BY r.at DESC, r.topic LIMIT 1)
FROM (
  SELECT t.*, o.state FROM (
    SELECT turn_id, effect, state FROM chat_outcome WHERE state IN ('open', 'held')
    UNION ALL
    SELECT turn_id, effect, state FROM chat_outcome
      WHERE state = 'failed' AND changed_at > now() - interval '1 day'
  ) o JOIN chat_turn t ON t.id = o.turn_id AND o.effect = 'reply'
  WHERE t.conversation_id IN (SELECT id FROM asked) AND t.accepted_at IS NOT NULL
  UNION ALL
  SELECT t.*, 'open' FROM chat_turn t
  WHERE t.conversation_id IN (SELECT id FROM asked)
    AND t.accepted_at IS NULL AND t.created_at > now() - interval '1 hour'
) t
ORDER BY t.conversation_id, t.number
"""


class Line(msgspec.Struct, frozen=True):
    """A delivered message, in the order of the columns of _MESSAGES."""

    conversation_id: str
    seq: int
    role: str
    text: str
    reviewed: bool
    kind: str
    at: datetime
    trace_id: str
    client_id: str
    rating: str = ""
    question: str = ""

    def frame(self) -> dict[str, object]:
        frame: dict[str, object] = {
            "type": "message",
            "seq": self.seq,
            "trace_id": self.trace_id,
            "in_reply_to": self.client_id if self.role == "assistant" else None,
            "role": self.role,
            "text": self.text,
            "reviewed": self.reviewed,
            "at": self.at.isoformat(),
        }
        if self.role == "user":
            frame["id"] = self.client_id
        if self.rating:
            frame["rating"] = self.rating
        if self.question:
            frame["question"] = self.question
        if self.kind == KIND:
            frame["correction"] = True
        return frame


class OpenTurn(msgspec.Struct, frozen=True, kw_only=True):
    """A turn that has no answer yet, or will have none.

    is_taken_in: it came back from Kafka; until then only who was told so knows that it is there.
    """

    conversation_id: str
    trace_id: str
    client_id: str
    state: str
    wants_person: bool
    is_taken_in: bool
    asked_at: datetime
    held_at: datetime | None
    topic: str | None

    def status(self, *, is_paused: bool) -> Status:
        if self.state == "failed":
            return "failed"
        if self.state == "held":
            return "waiting_for_person"
        if is_paused:
            return "paused"
        is_thinking = (self.topic or "").startswith("agent.requests.")
        return "thinking" if is_thinking else "checking"

    def frame(self, status: Status) -> dict[str, object]:
        frame: dict[str, object] = {
            "type": "status",
            "trace_id": self.trace_id,
            "id": self.client_id,
            "state": status,
            "since": (self.held_at or self.asked_at).isoformat(),
        }
        if self.wants_person:
            frame["person"] = True
        return frame


async def latest_seq(database: Database, conversation_id: str) -> int:
    """Return the number of the newest row; 0 for a conversation that has none."""
    async with database.connection() as connection:
        cursor = await connection.execute(_LATEST_SEQ, [conversation_id])
        row = await cursor.fetchone()
    return int(row[0]) if row else 0


async def behind(database: Database, cursors: Mapping[str, int]) -> set[str]:
    """Return the conversations that have rows after their cursor."""
    async with database.connection() as connection:
        cursor = await connection.execute(
            _BEHIND, [list(cursors), list(cursors.values())]
        )
        return {row[0] for row in await cursor.fetchall()}


async def read(
    database: Database, cursors: Mapping[str, int]
) -> tuple[list[Line], list[OpenTurn]]:
    """Return rows after each conversation's cursor, and its open turns, in one round trip."""
    names = list(cursors)
    async with database.connection() as connection, connection.pipeline():
        messages = await connection.execute(_MESSAGES, [names, list(cursors.values())])
        turns = await connection.execute(_TURNS, [names])
        lines = [_line(row) for row in await messages.fetchall()]
        open_turns = [
            OpenTurn(
                conversation_id=row[0],
                trace_id=row[1],
                client_id=row[2],
                state=row[3],
                wants_person=row[4],
                is_taken_in=row[5],
                asked_at=row[6],
                held_at=row[7],
                topic=row[8],
            )
            for row in await turns.fetchall()
        ]
    return lines, open_turns


def _line(row: tuple[Any, ...]) -> Line:
    *fields, question, follows_question = row
    line = Line(*fields)
    names_question = line.role == "assistant" and (
        line.reviewed or not follows_question
    )
    return msgspec.structs.replace(line, question=question) if names_question else line
