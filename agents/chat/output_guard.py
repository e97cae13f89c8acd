"""Output guard: decides whether an answer goes out, is replaced, or waits for a person."""

from collections.abc import Iterator
from typing import Any

import msgspec

from agents import topics
from agents.agent import Agent, Context, Event, Send
from agents.events import FinalResponse, FlaggedResponse, PendingResponse, RawResponse
from guardrails.verdicts import Verdict


def handle(event: Event[RawResponse], ctx: Context) -> Iterator[Send]:
    """Only a checked text passes. An empty one, or one that could not be checked, is held."""
    response = event.data
    verdict = _check(response, ctx)
    turn: dict[str, Any] = {
        "turn_id": response.turn_id,
        "conversation_id": response.conversation_id,
        "tier": response.tier,
        "verdict": verdict,
    }
    match verdict.action:
        case "allow" | "tag":
            final = FinalResponse(text=response.text, kind=response.kind, **turn)
            yield Send(topics.RESPONSES_FINAL, final)
        case "replace":
            flagged = FlaggedResponse(
                question=response.question,
                text=response.text,
                replaced_by=verdict.reply,
                **turn,
            )
            yield Send(topics.RESPONSES_FLAGGED, flagged)
            fallback = FinalResponse(text=verdict.reply, kind="fallback", **turn)
            yield Send(topics.RESPONSES_FINAL, fallback)
        case _:
            pending = PendingResponse(
                question=response.question,
                text=response.text or ctx.fallback_text(response.tier),
                team=verdict.team or "general",
                **turn,
            )
            yield Send(topics.pending_topic(verdict.team), pending)


def _check(response: RawResponse, ctx: Context) -> Verdict:
    verdict = ctx.engine.check(
        response.text, direction="output", tier=response.tier, workflow="chat"
    )
    if response.text.strip():
        return verdict
    return msgspec.structs.replace(
        verdict, action="escalate", team="general", error="the model gave no answer"
    )


AGENT = Agent(
    name="output-guard",
    description="Checks every answer before it may reach a user.",
    kind="guard",
    reads=(topics.RESPONSES_RAW,),
    writes=(topics.RESPONSES_FINAL, topics.RESPONSES_FLAGGED, *topics.ALL_PENDING),
    handle=handle,
)
