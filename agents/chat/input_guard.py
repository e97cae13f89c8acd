"""Input guard: decides whether a message may go on to an agent."""

from collections.abc import Iterator
from typing import Any

import msgspec

from agents import topics
from agents.agent import Agent, Context, Event, Send
from agents.events import BlockedMessage, CleanedMessage, PendingResponse, UserMessage
from guardrails.context import Context as Checked
from guardrails.verdicts import PASSING, Verdict


def handle(event: Event[UserMessage], ctx: Context) -> Iterator[Send]:
    """Block with a refusal, let through, or hold for a person what could not be checked.

    What may pass and asks for a person is held for one, and no model is asked.
    """
    message = event.data
    tier = topics.known_tier(message.tier)
    verdict = ctx.engine.check(
        message.text,
        Checked(
            direction="input",
            tier=tier,
            workflow="chat",
            trace_id=event.envelope.trace_id,
        ),
    )
    if message.wants_person and verdict.action in PASSING:
        verdict = _for_person(verdict)
    turn: dict[str, Any] = {
        "turn_id": event.id,
        "conversation_id": message.conversation_id,
        "tier": tier,
        "verdict": verdict,
    }
    match verdict.action:
        case "allow" | "tag":
            text = verdict.redacted or message.text
            cleaned = CleanedMessage(text=text, user=message.user, **turn)
            yield Send(topics.USER_CLEANED, cleaned)
        case "block":
            blocked = BlockedMessage(text=message.text, reply=verdict.reply, **turn)
            yield Send(topics.USER_BLOCKED, blocked)
        case _:
            pending = PendingResponse(
                question=message.text,
                text=ctx.fallback_text(tier),
                team=verdict.team,
                **turn,
            )
            yield Send(topics.pending_topic(verdict.team), pending)


def _for_person(verdict: Verdict) -> Verdict:
    return msgspec.structs.replace(
        verdict,
        action="escalate",
        team="general",
        reason="The customer asked for a person",
    )


AGENT = Agent(
    name="input-guard",
    description="Checks what users write before any agent reads it.",
    kind="guard",
    reads=(topics.USER_RAW,),
    writes=(topics.USER_CLEANED, topics.USER_BLOCKED, *topics.ALL_PENDING),
    handle=handle,
)
