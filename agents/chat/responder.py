"""Responder: asks the tier's model, with what was delivered before and the knowledge at hand."""

from collections.abc import AsyncIterator

from agents import topics
from agents.agent import Agent, Context, Event, Said, Send
from agents.events import ModelRequest, RawResponse

INSTRUCTIONS = (
    "You answer customers of a car dealer, in the customer's language and in a few "
    "sentences. Use only the knowledge below. If it does not hold the answer, say so "
    "and offer a colleague."
)


def instructions(knowledge: str) -> str:
    return f"{INSTRUCTIONS}\n\n<knowledge>\n{knowledge}\n</knowledge>"


async def handle(event: Event[ModelRequest], ctx: Context) -> AsyncIterator[Send]:
    request = event.data
    history = await ctx.history.delivered(
        request.conversation_id, before=request.turn_id
    )
    answer = await ctx.model.answer(
        event.id,
        tier=request.tier,
        messages=[
            Said("system", instructions(ctx.knowledge)),
            *history,
            Said("user", request.text),
        ],
    )
    response = RawResponse(
        turn_id=request.turn_id,
        conversation_id=request.conversation_id,
        tier=request.tier,
        question=request.text,
        text=answer.text,
        kind=answer.kind,
        backend=answer.backend,
        model=answer.model,
        finish_reason=answer.finish_reason,
        latency_ms=answer.latency_ms,
    )
    yield Send(topics.RESPONSES_RAW, response)


AGENT = Agent(
    name="responder",
    description="Answers with the model of the user's tier.",
    kind="model",
    reads=topics.REQUESTS,
    writes=(topics.RESPONSES_RAW,),
    handle_async=handle,
)
