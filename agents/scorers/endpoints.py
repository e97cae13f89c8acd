"""One endpoint of a scorer: asked within its time, spared while it fails, its answer decoded strictly."""

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec
from tenacity import (
    AsyncRetrying,
    retry_if_exception_type,
    stop_after_attempt,
    wait_random,
)

from agents.backends import BackendError, Backends, BrokenAnswerError, PassingError
from agents.patience import patience
from agents.retries import retried
from agents.scorers.batches import NotTakenError
from agents.scorers.breaker import Breaker, OpenError
from agents.scorers.settings import Endpoint

ATTEMPTS = 2  # a connection that was closed just now is not worth a person's time

T = TypeVar("T")


class NoScoreError(Exception):
    """There is no score. Says why, in a sentence."""


class RefusedScoreError(NoScoreError, NotTakenError):
    """The endpoint does not want this question."""


class Line:
    """Asks one endpoint. For one loop."""

    def __init__(self, endpoint: Endpoint, backends: Backends) -> None:
        self.endpoint = endpoint
        self._backends = backends
        self._breaker = Breaker()

    async def ask(
        self, path: str, question: Mapping[str, Any], decoder: "msgspec.json.Decoder[T]"
    ) -> T:
        """Return the answer. NoScoreError says what went wrong."""
        try:
            with self._breaker.guard(TimeoutError, PassingError):
                async with patience(self.endpoint.timeout_s):
                    body = await retried(lambda: self._fetch(path, question), _retrying)
                return _decode(body, decoder)
        except TimeoutError as error:
            limit = f"{self.endpoint.timeout_s:g} s"
            raise self.no_score(f"gave no answer within {limit}") from error
        except (PassingError, OpenError) as error:
            raise self.no_score(f"gave no answer: {error}") from error
        except BackendError as error:
            told = f"{self.endpoint.name} gave no answer: {error}"
            raise RefusedScoreError(told) from error

    def no_score(self, what: str) -> NoScoreError:
        return NoScoreError(f"{self.endpoint.name} {what}")

    async def _fetch(self, path: str, question: Mapping[str, Any]) -> bytes:
        endpoint = self.endpoint
        asked = {"model": endpoint.model, **question}
        key = endpoint.key or "none"
        return await self._backends.fetch(endpoint.base_url, path, asked, key=key)


def _decode(body: bytes, decoder: "msgspec.json.Decoder[T]") -> T:
    try:
        return decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BrokenAnswerError(f"it is not what was asked for: {error}") from error


def _retrying() -> AsyncRetrying:
    return AsyncRetrying(
        retry=retry_if_exception_type(PassingError),
        stop=stop_after_attempt(ATTEMPTS),
        wait=wait_random(0.05, 0.2),
        reraise=True,
    )
