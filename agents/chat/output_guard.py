"""Output guard: decides whether an answer goes out, is replaced, or waits for a person."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import msgspec

from agents import topics
from agents.agent import Agent, Context, Event, Send
from agents.checking import check_at_once, check_now, needs_scores
from agents.events import FinalResponse, FlaggedResponse, PendingResponse, RawResponse
from guardrails.context import Context as About
from guardrails.masking import placeholder_in
from guardrails.verdicts import PASSING, Verdict

NO_ANSWER = "the model gave no answer"


def handle(event: Event[RawResponse], ctx: Context) -> Iterator[Send]:
    """Only a checked text passes. An empty one, or one that could not be checked, is held."""
    verdict = check_at_once(ctx, event.data.text, _about(event))
    return _decide(event, ctx, verdict)


async def handle_scored(event: Event[RawResponse], ctx: Context) -> AsyncIterator[Send]:
    """The same, of an answer of which models must say something first."""
    verdict = await check_now(ctx, event.data.text, _about(event))
    for send in _decide(event, ctx, verdict):
        yield send


def waits(event: Event[RawResponse], ctx: Context) -> bool:
    return needs_scores(ctx.engine, _about(event))


def _about(event: Event[RawResponse]) -> About:
    return About(
        direction="output",
        tier=event.data.tier,
        workflow="chat",
        trace_id=event.envelope.trace_id,
        confidence=event.data.confidence,
    )


def _decide(
    event: Event[RawResponse], ctx: Context, verdict: Verdict
) -> Iterator[Send]:
    response = event.data
    verdict = _said(response, verdict)
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


def _said(response: RawResponse, verdict: Verdict) -> Verdict:
    if not response.text.strip():
        return _held(verdict, NO_ANSWER)
    stray = placeholder_in(response.text) if verdict.action in PASSING else ""
    if stray:
        return _held(verdict, f"the model speaks of {stray}, which nobody has given it")
    return verdict


def _held(verdict: Verdict, error: str) -> Verdict:
    return msgspec.structs.replace(
        verdict, action="escalate", team="general", error=error
    )


AGENT = Agent(
    name="output-guard",
    description="Checks every answer before it may reach a user.",
    kind="guard",
    reads=(topics.RESPONSES_RAW,),
    writes=(topics.RESPONSES_FINAL, topics.RESPONSES_FLAGGED, *topics.ALL_PENDING),
    handle=handle,
    handle_async=handle_scored,
    waits=waits,
)
