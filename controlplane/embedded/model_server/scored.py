"""Answers requests for embeddings and for moderation, and misbehaves as scripted."""

import asyncio
import base64
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from controlplane.embedded.model_server import shapes, wire
from controlplane.embedded.model_server.chat_request import read_object, require
from controlplane.embedded.model_server.scripts import Script

if TYPE_CHECKING:  # what they are made of takes a second and 200 MB
    from controlplane.embedded.model_server.minilm import MiniLM, Vectors
    from controlplane.embedded.model_server.moderator import Moderator, Scores

MOST_INPUTS = 2_048
MOST_CHARACTERS = 100_000  # of all texts of a request together: some seconds of work
FLAGGED = 0.5
GARBAGE = '{"object": "list", "data": [{"embedding": [0.1, NaN'

T = TypeVar("T")


class Inputs(NamedTuple):
    """What a request asks to be scored."""

    model: str
    texts: list[str]
    is_base64: bool

    @property
    def question(self) -> str:
        return "\n".join(self.texts)


class Scorers:
    """Both models, loaded when they are first wanted, in a thread of their own."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="scorers")

    async def embed(self, texts: Sequence[str]) -> "Vectors":
        return await self._run(lambda: self._minilm.embed(texts))

    async def moderate(self, texts: Sequence[str]) -> "list[Scores]":
        return await self._run(lambda: self._moderator.score(texts))

    async def load(self) -> None:
        """Return when both are there; who asks meanwhile waits for it too."""
        await self._run(lambda: self._moderator)

    def close(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _run(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    @cached_property
    def _minilm(self) -> "MiniLM":
        from controlplane.embedded.model_server.minilm import MiniLM  # noqa: PLC0415

        return MiniLM()

    @cached_property
    def _moderator(self) -> "Moderator":
        from controlplane.embedded.model_server.moderator import (  # noqa: PLC0415
            Moderator,
        )

        return Moderator(self._minilm)


def parse_inputs(body: bytes) -> Inputs:
    """Read a request as OpenAI's API would, or say what is wrong with it."""
    given = read_object(body)
    model = given.get("model", "")
    require(isinstance(model, str), "The model must be a name.")
    form = given.get("encoding_format") or "float"
    require(form in ("float", "base64"), "encoding_format is float or base64.")
    return Inputs(model, _texts(given.get("input")), is_base64=form == "base64")


def _texts(given: Any) -> list[str]:
    texts = [given] if isinstance(given, str) else given
    require(
        isinstance(texts, list)
        and texts
        and all(isinstance(each, str) and each for each in texts),
        "input must be a text, or a list of texts, none of them empty.",
    )
    assert isinstance(texts, list)
    require(len(texts) <= MOST_INPUTS, f"input has more than {MOST_INPUTS} texts.")
    is_short = sum(map(len, texts)) <= MOST_CHARACTERS
    require(is_short, f"input has more than {MOST_CHARACTERS} characters.")
    return texts


async def respond_embeddings(
    inputs: Inputs, scorers: Scorers, script: Script
) -> wire.Response:
    if scripted := _scripted(script):
        return scripted
    vectors = await scorers.embed(inputs.texts)
    data = [
        {
            "object": "embedding",
            "index": number,
            "embedding": _packed(vector) if inputs.is_base64 else vector.tolist(),
        }
        for number, vector in enumerate(vectors)
    ]
    words = sum(len(text.split()) for text in inputs.texts)
    usage = {"prompt_tokens": words, "total_tokens": words}
    body = {"object": "list", "model": inputs.model, "data": data, "usage": usage}
    return wire.json_response(body)


async def respond_moderations(
    inputs: Inputs, scorers: Scorers, script: Script
) -> wire.Response:
    if scripted := _scripted(script):
        return scripted
    if script.scores is not None:
        scored: list[Mapping[str, float]] = [script.scores] * len(inputs.texts)
    else:
        scored = list(await scorers.moderate(inputs.texts))
    results = [_result(each) for each in scored]
    model = inputs.model or shapes.MODERATION_MODEL
    return wire.json_response(
        {"id": shapes.next_id("modr"), "model": model, "results": results}
    )


def _scripted(script: Script) -> wire.Response | None:
    if script.status is not None:
        return shapes.failure(script)
    if script.garbage:
        return wire.Response(200, GARBAGE.encode())
    if script.reply is not None:
        return wire.Response(200, script.reply.encode(errors="replace"))
    return None


def _packed(vector: Any) -> str:
    return base64.b64encode(vector.astype("<f4").tobytes()).decode()


def _result(scores: Mapping[str, float]) -> dict[str, Any]:
    categories = {name: score > FLAGGED for name, score in scores.items()}
    return {
        "flagged": any(categories.values()),
        "categories": categories,
        "category_scores": dict(scores),
    }
