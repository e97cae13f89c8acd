"""What agents ask for becomes rows; the mailer sends them."""

from collections.abc import Sequence
from typing import Any

from django.conf import settings

from agents import registry, topics
from agents.agent import Agent, Event
from agents.events import SendMail
from agents.postgres import plain
from agents.tools import Tools
from controlplane.effects.mailer import Mailer

KEY_MAX_CHARS = 200
NAME_MAX_CHARS = 50
AGENT_MAX_CHARS = 64

# The same record again inserts nothing.
INSERT = """
INSERT INTO effects_effect (kind, record_id, workflow, agent, agents, tier, conversation_id,
  trace_id, recipient, subject, text, state, attempts, next_try_at, sender, error, decided_why,
  created_at, changed_at)
VALUES ('mail', %(record_id)s, %(workflow)s, %(agent)s, %(agents)s, %(tier)s,
  %(conversation_id)s, %(trace_id)s, %(recipient)s, %(subject)s, %(text)s, 'waiting', 0, now(),
  '', '', '', now(), now())
ON CONFLICT (record_id) DO NOTHING
"""


def mail_intake(tools: Tools) -> Agent:
    async def take(events: Sequence[Event[SendMail]]) -> None:
        async with (
            tools.database.connection() as connection,
            connection.transaction(),
            connection.cursor() as cursor,
        ):
            await cursor.executemany(INSERT, [row_of(event) for event in events])

    return Agent(
        name="mail-intake",
        description="Writes down the mails that agents ask for; the mailer sends them.",
        kind="sink",
        workflow="platform",
        reads=(topics.EMAIL_SEND,),
        handle_batch=take,
        batch_size=100,
    )


def row_of(event: Event[SendMail]) -> dict[str, Any]:
    """Headers may say anything, so nothing is taken to be short or clean."""
    envelope, mail = event.envelope, event.data
    agent = plain(envelope.source)[:AGENT_MAX_CHARS]
    key = (event.record.key or b"").decode(errors="backslashreplace")
    return {
        "record_id": plain(envelope.id)[:KEY_MAX_CHARS],
        "workflow": plain(envelope.workflow)[:NAME_MAX_CHARS],
        "agent": agent,
        "agents": sorted({agent} | registry.upstream().get(agent, frozenset())),
        "tier": plain(envelope.tier)[:NAME_MAX_CHARS],
        "conversation_id": plain(key)[:KEY_MAX_CHARS],
        "trace_id": envelope.trace_id,
        "recipient": plain(mail.to),
        "subject": plain(mail.subject),
        "text": plain(mail.text),
    }


def mailer(tools: Tools) -> Mailer:
    return Mailer(tools.database, settings.MAIL_SERVER)
