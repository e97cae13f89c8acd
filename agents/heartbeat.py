"""Tells PostgreSQL, and through it the pages, what this worker does."""

import os
import socket
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import msgspec
import structlog
from psycopg.types.json import Jsonb

from agents.control import Connection
from agents.control_state import ControlState
from agents.metrics import samples
from agents.pace import Pacer
from guardrails.costs import Told

log = structlog.get_logger()

EVERY_S = 2.0
_WRITE = """
INSERT INTO runtime_heartbeat (instance, host, pid, started_at, seen_at, applied_version,
  applied_in_ms, ruleset_hash, publication, ruled_in_ms, rule_costs, agents, metrics)
VALUES (%(instance)s, %(host)s, %(pid)s, %(started_at)s, now(), %(version)s, %(applied_in_ms)s,
  %(ruleset_hash)s, %(publication)s, %(ruled_in_ms)s, %(rule_costs)s, %(agents)s, %(metrics)s)
ON CONFLICT (instance) DO UPDATE SET seen_at = now(),
  applied_version = excluded.applied_version, applied_in_ms = excluded.applied_in_ms,
  ruleset_hash = excluded.ruleset_hash, publication = excluded.publication,
  ruled_in_ms = excluded.ruled_in_ms, rule_costs = excluded.rule_costs,
  agents = excluded.agents, metrics = excluded.metrics
"""
# Of workers that crashed, long after the last page has counted them.
_FORGET = """
DELETE FROM runtime_heartbeat WHERE instance IN (
  SELECT instance FROM runtime_heartbeat WHERE seen_at < now() - interval '1 day'
  FOR UPDATE SKIP LOCKED)
"""
_REMOVE = "DELETE FROM runtime_heartbeat WHERE instance = %s"


class Heartbeat:
    """One row per worker process, written by the thread that follows control state."""

    def __init__(
        self,
        statuses: Callable[[], list[dict[str, Any]]],
        rule_costs: Callable[[], Told] = dict,
    ) -> None:
        self.instance = f"{socket.gethostname()}:{os.getpid()}:{uuid4().hex[:6]}"
        self._started_at = datetime.now(UTC)
        self._statuses = statuses
        self._rule_costs = rule_costs
        self._written_at_s = float("-inf")
        self._version = 0
        self._applied_in_ms = 0.0
        self._publication = 0
        self._ruled_in_ms: float | None = None
        self._shape: list[tuple[Any, ...]] = []
        self._pacers: dict[str, Pacer] = {}

    def beat(
        self, connection: Connection, state: ControlState, *, at_once: bool
    ) -> None:
        """Write if something changed or two seconds have passed.

        state: what every agent here obeys; at_once: since now. Of the agents their states and
        partitions count.
        """
        self._obey(state)
        now_s = time.monotonic()
        agents = [self._with_pace(status) for status in self._statuses()]
        shape = [(a["agent"], a["state"], a["why"], a["partitions"]) for a in agents]
        is_same = not at_once and shape == self._shape
        if is_same and now_s - self._written_at_s < EVERY_S - 0.5:
            return
        if self._written_at_s == float("-inf"):
            connection.execute(_FORGET)
        self._written_at_s, self._shape = now_s, shape
        connection.execute(
            _WRITE,
            {
                "instance": self.instance,
                "host": socket.gethostname(),
                "pid": os.getpid(),
                "started_at": self._started_at,
                "version": state.version,
                "applied_in_ms": self._applied_in_ms,
                "ruleset_hash": state.ruleset_hash,
                "publication": self._publication,
                "ruled_in_ms": self._ruled_in_ms,
                "rule_costs": Jsonb(self._rule_costs()),
                "agents": Jsonb(agents),
                "metrics": Jsonb(list(samples())),
            },
        )

    def _with_pace(self, status: dict[str, Any]) -> dict[str, Any]:
        pacer = self._pacers.setdefault(status["agent"], Pacer())
        pace = pacer.note(status["done"], at_s=time.time())
        return status | {"pace": msgspec.to_builtins(pace)}

    def _obey(self, state: ControlState) -> None:
        if self._version not in {state.version, 0}:  # who starts has not been late
            self._applied_in_ms = _since_ms(state.changed_at_ms)
        self._version = state.version
        published = state.published
        if state.is_ruled and self._publication != published.id:
            if self._publication:
                self._ruled_in_ms = _since_ms(published.at_ms)
            self._publication = published.id

    def remove(self, connection: Connection) -> None:
        """A worker that ends by itself is gone, not late."""
        connection.execute(_REMOVE, [self.instance])


def _since_ms(at_ms: float) -> float:
    return max(0.0, time.time() * 1000 - at_ms)
