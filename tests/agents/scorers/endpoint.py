"""An endpoint of scorers on this machine that says what it is told, and keeps what it was asked."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from agents.scorers.scorers import Scorers
from agents.scorers.settings import Endpoint, ScorerSettings
from tests.guardrails.factories import make_masker

Answer = Callable[[Mapping[str, Any]], Any]

DIMENSIONS = 4
# A direction for each word that these tests use; what holds none of them has one of its own.
WORDS = {"poem": 0, "theft": 1, "car": 2}


def embed(question: Mapping[str, Any]) -> dict[str, Any]:
    """Answer as a model would whose vectors count words."""
    data = [
        {"index": number, "embedding": _count(text)}
        for number, text in enumerate(question["input"])
    ]
    return {"data": list(reversed(data))}  # the index says whose each is


def _count(text: str) -> list[float]:
    numbers = [0.0] * DIMENSIONS
    for word, place in WORDS.items():
        numbers[place] += 2 * text.casefold().count(word)
    return numbers if any(numbers) else [0.0, 0.0, 0.0, 1.0]


def score(**categories: Any) -> Answer:
    def answer(question: Mapping[str, Any]) -> dict[str, Any]:
        return {"results": [{"category_scores": categories}] * len(question["input"])}

    return answer


def say(content: str | None) -> Answer:
    return lambda _: {"choices": [{"message": {"content": content}}]}


class Fake:
    """answers: a function, a status or bytes for each path. gate: while it is closed nothing is answered."""

    def __init__(self) -> None:
        self.answers: dict[str, Answer | int | bytes] = {"embeddings": embed}
        self.asked: list[tuple[str, Mapping[str, Any]]] = []
        self.keys: list[str] = []
        self.gate = asyncio.Event()
        self.gate.set()

    def texts(self, path: str) -> list[Any]:
        return [question["input"] for asked, question in self.asked if asked == path]

    async def handle(self, request: web.Request) -> web.Response:
        path = request.path.removeprefix("/v1/")
        question = await request.json()
        self.asked.append((path, question))
        self.keys.append(request.headers["Authorization"])
        await self.gate.wait()
        answer = self.answers[path]
        if isinstance(answer, int):
            return web.Response(status=answer, text="I am not well")
        if isinstance(answer, bytes):
            return web.Response(body=answer)
        return web.json_response(answer(question))


@asynccontextmanager
async def running(
    timeout_s: float = 5.0, dimensions: int = DIMENSIONS
) -> AsyncIterator[tuple[Fake, Scorers]]:
    """Serve a fake, and lend scorers that ask it."""
    fake = Fake()
    app = web.Application()
    app.router.add_post("/v1/{path:.+}", fake.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    scorers = Scorers(
        settings_for(f"http://127.0.0.1:{port}/v1", timeout_s, dimensions),
        make_masker(),
    )
    try:
        yield fake, scorers
    finally:
        fake.gate.set()
        await scorers.close()
        await runner.cleanup()


def settings_for(
    url: str, timeout_s: float = 5.0, dimensions: int = DIMENSIONS
) -> ScorerSettings:
    def endpoint(name: str) -> Endpoint:
        return Endpoint(
            name=name,
            base_url=url,
            key=f"key of {name}",
            model="m",
            timeout_s=timeout_s,
        )

    return ScorerSettings(
        embeddings=endpoint("The embeddings endpoint"),
        moderation=endpoint("The moderation endpoint"),
        judge=endpoint("The judge"),
        dimensions=dimensions,
    )
