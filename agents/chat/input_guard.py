"""Input guard: decides whether a message may go on to an agent."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import msgspec

from agents import topics
from agents.agent import Agent, Context, Event, Send
from agents.checking import check_at_once, check_now, needs_scores
from agents.events import BlockedMessage, CleanedMessage, PendingResponse, UserMessage
from guardrails.context import Context as About
from guardrails.verdicts import PASSING, Verdict


def handle(event: Event[UserMessage], ctx: Context) -> Iterator[Send]:
    """Block with a refusal, let through, or hold for a person what could not be checked.

    What may pass and asks for a person is held for one, and no model is asked.
    """
    verdict = check_at_once(ctx, event.data.text, _about(event))
    return _decide(event, ctx, verdict)


async def handle_scored(event: Event[UserMessage], ctx: Context) -> AsyncIterator[Send]:
    """The same, of a message of which models must say something first."""
    verdict = await check_now(ctx, event.data.text, _about(event))
    for send in _decide(event, ctx, verdict):
        yield send


def waits(event: Event[UserMessage], ctx: Context) -> bool:
    return needs_scores(ctx.engine, _about(event))


def _about(event: Event[UserMessage]) -> About:
    return About(
        direction="input",
        tier=topics.known_tier(event.data.tier),
        workflow="chat",
        trace_id=event.envelope.trace_id,
    )


def _decide(
    event: Event[UserMessage], ctx: Context, verdict: Verdict
) -> Iterator[Send]:
    message = event.data
    tier = topics.known_tier(message.tier)
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
    handle_async=handle_scored,
    waits=waits,
)
