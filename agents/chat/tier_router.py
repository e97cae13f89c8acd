"""Tier router: puts each message on the lane of its user's tier."""

from collections.abc import Iterator

from agents import topics
from agents.agent import Agent, Context, Event, Send
from agents.events import CleanedMessage, ModelRequest


def handle(event: Event[CleanedMessage], ctx: Context) -> Iterator[Send]:
    message = event.data
    request = ModelRequest(
        turn_id=message.turn_id,
        conversation_id=message.conversation_id,
        tier=message.tier,
        text=message.text,
        user=message.user,
    )
    yield Send(topics.request_topic(message.tier), request)


AGENT = Agent(
    name="tier-router",
    description="Sends each message to its tier's request topic.",
    kind="router",
    reads=(topics.USER_CLEANED,),
    writes=topics.REQUESTS,
    handle=handle,
)
