"""The model port: asks a tier's backend, and stores what it said."""

import time
from collections.abc import Callable, Sequence

import structlog
from psycopg.types.json import Jsonb
from tenacity import (
    AsyncRetrying,
    retry_if_exception_type,
    stop_after_attempt,
    wait_exponential_jitter,
)

from agents.agent import FALLBACK_TEXT, Answer, Said
from agents.backends import BackendError, Backends, PassingError
from agents.control_state import ControlState, Route
from agents.masked import show
from agents.metrics import MODEL_REQUESTS, MODEL_SECONDS
from agents.postgres import Database, plain
from agents.retries import retried
from guardrails.masking import Masker, MaskingError

log = structlog.get_logger()

ATTEMPTS = 3
_STORED = """
SELECT answer, backend, model, finish_reason, latency_ms, kind
FROM chat_modelcall WHERE request_id = %s
"""
_STORE = """
INSERT INTO chat_modelcall (request_id, tier, backend, model, messages, answer,
  finish_reason, kind, latency_ms, created_at)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, now()) ON CONFLICT (request_id) DO NOTHING
"""


class BackendModel:
    """Answers each request once: a retry gets what was stored the first time.

    Personal data neither leaves with the request nor is stored with the answer.
    Belongs to the loop on which it is made, and is closed there.
    """

    def __init__(
        self, database: Database, state: Callable[[], ControlState], masker: Masker
    ) -> None:
        self._database = database
        self._state = state
        self._masker = masker
        self._backends = Backends()

    async def close(self) -> None:
        await self._backends.close()

    async def answer(
        self, request_id: str, *, tier: str, messages: Sequence[Said]
    ) -> Answer:
        try:
            shown = show(self._masker, messages, request_id)
        except MaskingError as error:
            log.warning("model_not_asked", reason=str(error))
            return _fallback(self._fallback_text(tier), type(error).__name__)
        return shown.restore(await self._answer(request_id, tier, shown.messages))

    async def _answer(
        self, request_id: str, tier: str, messages: Sequence[Said]
    ) -> Answer:
        stored = await self._stored(request_id)
        if stored is not None:
            return stored
        answer = await self._ask_or_fall_back(tier, messages)
        if await self._store(request_id, tier, messages, answer):
            return answer
        first = await self._stored(request_id)
        assert first is not None  # that is why ours was not
        return first

    def _fallback_text(self, tier: str) -> str:
        route = self._state().route(tier)
        return route.fallback_text if route else FALLBACK_TEXT

    async def _ask_or_fall_back(self, tier: str, messages: Sequence[Said]) -> Answer:
        route = self._state().route(tier)
        if route is None:
            return _fallback(FALLBACK_TEXT, "no route")
        started = time.perf_counter()
        try:
            answer = await self._ask(route, messages)
        except (TimeoutError, BackendError) as error:
            log.warning("model_failed", backend=route.backend, reason=repr(error))
            MODEL_REQUESTS.labels(route.backend, tier, "failed").inc()
            return _fallback(route.fallback_text, type(error).__name__)
        MODEL_REQUESTS.labels(route.backend, tier, "ok").inc()
        MODEL_SECONDS.labels(route.backend, tier).observe(time.perf_counter() - started)
        return answer

    async def _ask(self, route: Route, messages: Sequence[Said]) -> Answer:
        return await retried(lambda: self._backends.ask(route, messages), _retrying)

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
        self, request_id: str, tier: str, messages: Sequence[Said], answer: Answer
    ) -> bool:
        """Return whether it is the first answer to this request."""
        async with self._database.connection() as connection:
            cursor = await connection.execute(
                _STORE,
                [
                    request_id,
                    tier,
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


def _retrying() -> AsyncRetrying:
    return AsyncRetrying(
        retry=retry_if_exception_type((TimeoutError, PassingError)),
        stop=stop_after_attempt(ATTEMPTS),
        wait=wait_exponential_jitter(multiplier=0.2, max=2.0, jitter=0.2),
        reraise=True,
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
