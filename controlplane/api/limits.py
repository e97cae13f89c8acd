"""How many requests a token may make in a minute, counted in Valkey for all web processes."""

import time
from functools import cache

import msgspec
import structlog
from django.conf import settings
from redis import Redis, RedisError
from redis.backoff import NoBackoff
from redis.retry import Retry

from controlplane.accounts.models import ApiToken

log = structlog.get_logger()

WINDOW_S = 60  # from a token's first request on
TIMEOUT_S = 0.25
RETRY_S = 5.0  # while Valkey is away, one request in this time waits for it


class Usage(msgspec.Struct, frozen=True):
    """What a token has used of its minute, the request itself included."""

    limit: int
    used: int
    reset_s: int

    @property
    def is_over(self) -> bool:
        return self.used > self.limit

    def headers(self) -> dict[str, str]:
        """As the IETF's draft "RateLimit header fields for HTTP" has them."""
        left = max(0, self.limit - self.used)
        return {
            "RateLimit-Policy": f'"token";q={self.limit};w={WINDOW_S}',
            "RateLimit": f'"token";r={left};t={self.reset_s}',
        }


class Counter:
    """Counts, or lets everybody in while Valkey is away, which it says once."""

    def __init__(self) -> None:
        self._away_since_s: float | None = None
        self._try_at_s = float("-inf")

    def count(self, token: ApiToken) -> Usage | None:
        """Return nothing if nobody counts."""
        limit = settings.API_REQUESTS_PER_MINUTE
        if not limit or time.monotonic() < self._try_at_s:
            return None
        try:
            used, left_ms = _ask(token)
        except RedisError as error:
            self._begin(error)
            return None
        self._end()
        return Usage(limit, used, max(1, -(-left_ms // 1000)))

    def _begin(self, error: RedisError) -> None:
        self._try_at_s = time.monotonic() + RETRY_S
        if self._away_since_s is None:
            self._away_since_s = time.monotonic()
            log.warning("api_limits_are_off", reason=str(error), retry_s=RETRY_S)

    def _end(self) -> None:
        if self._away_since_s is not None:
            away_s = round(time.monotonic() - self._away_since_s)
            self._away_since_s = None
            log.warning("api_limits_are_on", away_s=away_s)


def _ask(token: ApiToken) -> tuple[int, int]:
    """Return the requests of this minute and the milliseconds that are left of it."""
    # Not by id: a database that was emptied gives the same ids again.
    key = f"interlock:api:{token.sha256}"
    with _valkey(settings.REDIS_URL).pipeline(transaction=True) as pipeline:
        pipeline.set(key, 0, ex=WINDOW_S, nx=True)
        pipeline.incr(key)
        pipeline.pttl(key)
        _, used, left_ms = pipeline.execute()
    return used, left_ms


@cache
def _valkey(url: str) -> Redis:
    # One more try, at once, is for a connection that a restart has left dead.
    return Redis.from_url(
        url,
        socket_timeout=TIMEOUT_S,
        socket_connect_timeout=TIMEOUT_S,
        retry=Retry(NoBackoff(), 1),
    )


counter = Counter()
