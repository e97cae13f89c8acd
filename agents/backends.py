"""Model backends: asks one over HTTP, for answers by the part of the OpenAI API that streams them."""

import os
import time
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import aiohttp
import msgspec

from agents.agent import Answer, Said
from agents.control_state import Route
from agents.patience import patience
from agents.postgres import plain

CONNECTIONS = 128  # twice what one agent works on at once
ANSWER_BYTES = 4 * 1024 * 1024
_TOLD = 200  # characters of what a backend says instead of an answer
_TOLD_BYTES = 2_000
_SUCCESS = 2
_SERVERS_FAULT = 500


class BackendError(Exception):
    """A backend cannot be asked, or gave no answer. The same request would fail again."""


class RefusedError(BackendError):
    """The backend does not want this request, as with a wrong key."""


class PassingError(BackendError):
    """The same request may have an answer in a moment."""


class UnreachableError(PassingError):
    """There is no connection, or it was lost before an answer began."""


class NotNowError(PassingError):
    """The backend is overloaded or has an error of its own."""


class BrokenAnswerError(PassingError):
    """What came is no answer, or no whole one."""


class Backends:
    """Connections to every backend. Belongs to the loop on which it is made, and is closed."""

    def __init__(self) -> None:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=CONNECTIONS),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None),  # each route has its own
        )

    async def close(self) -> None:
        await self._session.close()

    async def ask(self, route: Route, messages: Sequence[Said]) -> Answer:
        """Stream one answer and return it whole.

        TimeoutError and PassingError: another try may help. Other BackendErrors: it would not.
        """
        started = time.perf_counter()
        async with patience(route.timeout_s):
            text, model, finish_reason = await self._ask(route, messages)
        return Answer(
            text=plain(text),
            backend=route.backend,
            model=plain(model or route.model)[:200],
            finish_reason=plain(finish_reason)[:50],
            latency_ms=(time.perf_counter() - started) * 1000,
        )

    async def _ask(
        self, route: Route, messages: Sequence[Said]
    ) -> tuple[str, str, str]:
        base_url = route.base_url or os.environ.get("OPENAI_BASE_URL", "")
        key = os.environ.get(route.key_variable) or "none"
        said = [{"role": said.role, "content": said.text} for said in messages]
        question = {"model": route.model, "messages": said, "stream": True}
        return _read(await self.fetch(base_url, "chat/completions", question, key=key))

    async def fetch(
        self, base_url: str, path: str, question: Mapping[str, Any], *, key: str
    ) -> bytes:
        """Post one question and return the whole answer. Whoever asks has a time limit."""
        url = f"{base_url.rstrip('/')}/{path}"
        async with await self._post(url, question, key) as response:
            if response.status // 100 != _SUCCESS:
                raise await _refusal(response, key)
            return await _body(response, key)

    async def _post(
        self, url: str, question: Mapping[str, Any], key: str
    ) -> aiohttp.ClientResponse:
        try:
            return await self._session.post(
                url,
                data=msgspec.json.encode(question),
                headers={
                    "Authorization": f"Bearer {key}",
                    "Content-Type": "application/json",
                },
                allow_redirects=False,  # the key is for this host alone
            )
        except aiohttp.ClientConnectionError as error:
            raise UnreachableError(_told(error, key)) from error
        except (ValueError, aiohttp.NonHttpUrlClientError) as error:
            # Not what it says: it may hold the password of an address.
            reason = type(error).__name__
            raise BackendError(f"the request cannot be made: {reason}") from error
        except aiohttp.ClientError as error:
            raise BrokenAnswerError(_told(error, key)) from error


async def _refusal(response: aiohttp.ClientResponse, key: str) -> BackendError:
    """Return what the status means, with the beginning of what the backend says about it."""
    try:
        said = (await response.content.read(_TOLD_BYTES)).decode(errors="replace")
    except aiohttp.ClientError as error:
        said = f"then the connection broke: {_told(error, key)}"
    status = response.status
    passes = status == HTTPStatus.TOO_MANY_REQUESTS or status >= _SERVERS_FAULT
    kind = NotNowError if passes else RefusedError
    return kind(f"{status}: {_without(key, said)[:_TOLD]}")


def _told(error: Exception, key: str) -> str:
    """Return what may be logged of it. Its repr may not: it can hold the request's headers."""
    return f"{type(error).__name__}: {_without(key, str(error))[:_TOLD]}"


def _without(key: str, text: str) -> str:
    return text.replace(key, "[key]")


async def _body(response: aiohttp.ClientResponse, key: str) -> bytes:
    """Return all of the answer, as nobody sees it before its end."""
    body = bytearray()
    try:
        async for piece in response.content.iter_any():
            body += piece
            if len(body) > ANSWER_BYTES:
                raise BrokenAnswerError(f"the answer is over {ANSWER_BYTES} bytes")
    except aiohttp.ClientError as error:
        raise BrokenAnswerError(f"the stream broke: {_told(error, key)}") from error
    return bytes(body)


class _Delta(msgspec.Struct):
    content: str | None = None


class _Choice(msgspec.Struct):
    delta: _Delta
    finish_reason: str | None = None


class _Chunk(msgspec.Struct):
    choices: list[_Choice]
    model: str | None = None


_CHUNK = msgspec.json.Decoder(_Chunk)


def _read(stream: bytes) -> tuple[str, str, str]:
    """Return text, model and finish_reason of a stream of server-sent events, one chunk in each."""
    parts: list[str] = []
    model, finish_reason = "", ""
    for line in stream.splitlines():  # of bytes: CR and LF end a line, nothing else
        field, _, value = line.partition(b":")
        if field != b"data" or value.strip() == b"[DONE]":
            continue
        try:
            chunk = _CHUNK.decode(value.decode(errors="replace"))
        except msgspec.DecodeError as error:
            raise BrokenAnswerError(f"the stream is no answer: {error}") from error
        model = chunk.model or model
        for choice in chunk.choices:
            parts.append(choice.delta.content or "")
            finish_reason = choice.finish_reason or finish_reason
    if not finish_reason:
        raise BrokenAnswerError("the stream ended without a finish_reason")
    return "".join(parts), model, finish_reason
