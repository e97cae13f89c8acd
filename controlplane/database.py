"""Connections of Django's pool."""

from typing import Any

import psycopg
from psycopg.abc import PQGen

ALIVE_WITHIN_S = 2.0


class PooledConnection(psycopg.Connection[tuple[Any, ...]]):
    """Has two seconds to answer when the pool asks whether it lives, which is an empty query.

    A server that is frozen keeps its connections open and says nothing: pages would wait for as
    long, and nobody would be told what is wrong.
    """

    _patience_s: float | None = None

    def execute(
        self, query: Any, params: Any = None, **options: Any
    ) -> psycopg.Cursor[tuple[Any, ...]]:
        self._patience_s = None if query else ALIVE_WITHIN_S
        try:
            return super().execute(query, params, **options)
        finally:
            self._patience_s = None

    def wait(
        self, gen: PQGen[Any], interval: float = 0.1, timeout: float | None = None
    ) -> Any:
        return super().wait(
            gen, interval, self._patience_s if timeout is None else timeout
        )
