"""The model port: asks a tier's backend through the openai client, and stores what it said."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable, Sequence
from functools import lru_cache

import httpx2
import msgspec
import openai
import structlog
from psycopg.types.json import Jsonb
from tenacity import (
    AsyncRetrying,
    retry_if_exception_type,
    stop_after_attempt,
    wait_exponential_jitter,
)

from agents.agent import FALLBACK_TEXT, Answer, Said
from agents.control import ControlState, Route
from agents.metrics import MODEL_REQUESTS, MODEL_SECONDS
from agents.postgres import Database, plain

log = structlog.get_logger()

ATTEMPTS = 3
_STORED = """
SELECT answer, backend, model, finish_reason, latency_ms, kind
FROM chat_modelcall WHERE request_id = %s
"""
_STORE = """
INSERT INTO chat_modelcall (request_id, backend, model, messages, answer, finish_reason,
  kind, latency_ms, created_at)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, now()) ON CONFLICT (request_id) DO NOTHING
"""
# Worth another try; everything else (a wrong key, a bad request) would fail the same way.
_PASSING = (
    TimeoutError,
    openai.APIConnectionError,
    openai.RateLimitError,
    openai.InternalServerError,
)


class BrokenAnswerError(Exception):
    """The stream ended before the answer did."""


class BackendModel:
    """Answers each request once: a retry gets what was stored the first time."""

    def __init__(self, database: Database, state: Callable[[], ControlState]) -> None:
        self._database = database
        self._state = state

    async def answer(
        self, request_id: str, *, tier: str, messages: Sequence[Said]
    ) -> Answer:
        stored = await self._stored(request_id)
        if stored is not None:
            return stored
        answer = await self._ask_or_fall_back(tier, messages)
        if await self._store(request_id, messages, answer):
            return answer
        first = await self._stored(request_id)
        assert first is not None  # that is why ours was not
        return first

    async def _ask_or_fall_back(self, tier: str, messages: Sequence[Said]) -> Answer:
        route = self._state().route(tier)
        if route is None:
            return _fallback(FALLBACK_TEXT, "no route")
        started = time.perf_counter()
        try:
            answer = await self._retrying(route, messages)
        except (*_PASSING, openai.APIError, BrokenAnswerError, ValueError) as error:
            log.warning("model_failed", backend=route.backend, reason=repr(error))
            MODEL_REQUESTS.labels(route.backend, tier, "failed").inc()
            return _fallback(route.fallback_text, type(error).__name__)
        MODEL_REQUESTS.labels(route.backend, tier, "ok").inc()
        MODEL_SECONDS.labels(route.backend, tier).observe(time.perf_counter() - started)
        return answer

    async def _retrying(self, route: Route, messages: Sequence[Said]) -> Answer:
        retrying = AsyncRetrying(
            retry=retry_if_exception_type((*_PASSING, BrokenAnswerError)),
            stop=stop_after_attempt(ATTEMPTS),
            wait=wait_exponential_jitter(multiplier=0.2, max=2.0, jitter=0.2),
            reraise=True,
        )
        return await retrying(ask, route, messages)

    async def _stored(self, request_id: str) -> Answer | None:
        async with self._database.connection() as connection:
            cursor = await connection.execute(_STORED, [request_id])
            row = await cursor.fetchone()
        if row is None:
            return None
        text, backend, model, finish_reason, latency_ms, kind = row
        return Answer(
            text=text,
            backend=backend,
            model=model,
            finish_reason=finish_reason,
            latency_ms=latency_ms,
            kind=kind,
        )

    async def _store(
        self, request_id: str, messages: Sequence[Said], answer: Answer
    ) -> bool:
        """Return whether it is the first answer to this request."""
        async with self._database.connection() as connection:
            cursor = await connection.execute(
                _STORE,
                [
                    request_id,
                    answer.backend,
                    answer.model,
                    Jsonb(
                        [
                            {"role": said.role, "text": plain(said.text)}
                            for said in messages
                        ]
                    ),
                    answer.text,
                    answer.finish_reason,
                    answer.kind,
                    answer.latency_ms,
                ],
            )
        return cursor.rowcount == 1


async def ask(route: Route, messages: Sequence[Said]) -> Answer:
    """Stream one answer and return it whole. BrokenAnswerError if its end never came."""
    started = time.perf_counter()
    async with asyncio.timeout(route.timeout_s):
        # Not chat.completions: it makes objects of each message and of each chunk.
        stream = await _client(route.base_url, route.key_variable).post(
            "/chat/completions",
            body={
                "model": route.model,
                "messages": [
                    {"role": said.role, "content": said.text} for said in messages
                ],
                "stream": True,
            },
            options={"security": {"bearer_auth": True}},  # no other key of this process
            cast_to=object,
            stream=True,
            stream_cls=openai.AsyncStream[object],
        )
        async with stream:
            text, model, finish_reason = await _read(stream.response.aiter_lines())
    return Answer(
        text=plain(text),
        backend=route.backend,
        model=plain(model or route.model)[:200],
        finish_reason=plain(finish_reason)[:50],
        latency_ms=(time.perf_counter() - started) * 1000,
    )


class _Delta(msgspec.Struct):
    content: str | None = None


class _Choice(msgspec.Struct):
    delta: _Delta
    finish_reason: str | None = None


class _Chunk(msgspec.Struct):
    choices: list[_Choice]
    model: str | None = None


_CHUNK = msgspec.json.Decoder(_Chunk)


async def _read(lines: AsyncIterator[str]) -> tuple[str, str, str]:
    """Return text, model and finish_reason of a stream of server-sent events, one chunk in each."""
    parts: list[str] = []
    model, finish_reason = "", ""
    async for line in _whole(lines):
        field, _, value = line.partition(":")
        if field != "data" or value.strip() == "[DONE]":
            continue
        try:
            chunk = _CHUNK.decode(value)
        except (msgspec.DecodeError, UnicodeEncodeError) as error:
            raise BrokenAnswerError(f"the stream is no answer: {error}") from error
        model = chunk.model or model
        for choice in chunk.choices:
            parts.append(choice.delta.content or "")
            finish_reason = choice.finish_reason or finish_reason
    if not finish_reason:
        raise BrokenAnswerError("the stream ended without a finish_reason")
    return "".join(parts), model, finish_reason


async def _whole(lines: AsyncIterator[str]) -> AsyncIterator[str]:
    try:
        async for line in lines:
            yield line
    except httpx2.HTTPError as error:  # the client tells of what is cut off as it comes
        raise BrokenAnswerError(f"the stream broke: {error!r}") from error


@lru_cache(maxsize=32)
def _client(base_url: str, key_variable: str) -> openai.AsyncOpenAI:
    """Return the client of a backend; keys stay in the environment, named by the backend."""
    return openai.AsyncOpenAI(
        base_url=base_url or os.environ.get("OPENAI_BASE_URL"),
        api_key=os.environ.get(key_variable, "none"),
        max_retries=0,
    )


def _fallback(text: str, reason: str) -> Answer:
    return Answer(
        text=text,
        backend="fallback",
        model="",
        finish_reason=reason,
        latency_ms=0.0,
        kind="fallback",
    )
