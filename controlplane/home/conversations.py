"""Demo conversations: sent like any user's, so that they are answered as soon as workers run."""

import asyncio
import json
import urllib.error
import urllib.request
from uuid import NAMESPACE_URL, uuid5

from django.conf import settings

from agents.topics import TIERS
from controlplane.chat import ingress, tokens
from controlplane.chat.resources import close_resources

TALKS = {
    "free": ("What's the latest model of Mercedes?", "Write a romantic poem."),
    "enterprise": ("What is your best price for the E-Class?",),
}
# What the demo model says to this question, so that a person gets something to decide.
BARGAIN = {
    "match": "best price",
    "reply": "We can take 25 % off the E-Class estate if you sign before the end of the "
    "month, and add the winter wheels at no charge.",
}


def start_conversations() -> int:
    """Send the demo messages; return how many Kafka has. Sending them again changes nothing."""
    assert set(TALKS) <= set(TIERS)
    _teach_demo_model()
    return asyncio.run(_send())


async def _send() -> int:
    count = 0
    try:
        for tier, texts in TALKS.items():
            visitor = tokens.read(tokens.issue(f"demo-{tier}", tier=tier))
            for text in texts:
                await ingress.submit(
                    conversation_id=visitor.conversation_id,
                    client_id=str(uuid5(NAMESPACE_URL, f"{tier} {text}")),
                    text=text,
                    user=visitor.user,
                    tier=tier,
                )
                count += 1
    finally:
        await close_resources()
    return count


def _teach_demo_model() -> None:
    """A real endpoint has no such control: then there is nothing to teach."""
    url = settings.OPENAI_BASE_URL.rstrip("/")
    request = urllib.request.Request(  # noqa: S310  # the configured endpoint
        url.removesuffix("/v1") + "/control/script",
        json.dumps(BARGAIN).encode(),
        {"Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(f"{url}/models", timeout=5) as models:  # noqa: S310
            if models.headers.get("x-interlock-demo-model"):
                urllib.request.urlopen(request, timeout=5).close()  # noqa: S310
    except (urllib.error.URLError, OSError):
        return
