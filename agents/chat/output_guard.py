"""Output guard: decides whether an answer goes out, is replaced, or waits for a person."""

from collections.abc import Iterator
from typing import Any

import msgspec

from agents import topics
from agents.agent import Agent, Context, Event, Send
from agents.events import FinalResponse, FlaggedResponse, PendingResponse, RawResponse
from guardrails.context import Context as Checked
from guardrails.verdicts import Verdict


def handle(event: Event[RawResponse], ctx: Context) -> Iterator[Send]:
    """Only a checked text passes. An empty one, or one that could not be checked, is held."""
    response = event.data
    verdict = _check(event, ctx)
    turn: dict[str, Any] = {
        "turn_id": response.turn_id,
        "conversation_id": response.conversation_id,
        "tier": response.tier,
        "verdict": verdict,
    }
    match verdict.action:
        case "allow" | "tag":
            text = verdict.redacted or response.text
            final = FinalResponse(text=text, kind=response.kind, **turn)
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


def _check(event: Event[RawResponse], ctx: Context) -> Verdict:
    response = event.data
    verdict = ctx.engine.check(
        response.text,
        Checked(
            direction="output",
            tier=response.tier,
            workflow="chat",
            trace_id=event.envelope.trace_id,
        ),
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
