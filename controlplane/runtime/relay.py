"""The relay: publishes the outbox to Kafka, in order, and marks what Kafka has."""

import asyncio
from typing import Any

import structlog
from psycopg import AsyncConnection

from agents import topics
from agents.agent import UnavailableError
from agents.broker import BrokerError
from agents.postgres import Connection, Database
from agents.publisher import Publisher
from agents.work import Outgoing
from controlplane.runtime.headers import StoredHeaders, headers_of

log = structlog.get_logger()

CHANNEL = "interlock_outbox"
BATCH = 200
BATCH_BYTES = 32_000_000  # and one record at least
POLL_S = 1.0
PUBLISH_TIMEOUT_S = 10.0
# The rows stay locked while Kafka is asked, which takes up to the timeout above.
_BE_PATIENT = "SET LOCAL idle_in_transaction_session_timeout = '30s'"
# Held by the one relay that publishes; the others stand by.
LEADER = 0x1A7E610D

_LOCK = """
SELECT id, octet_length(value) FROM runtime_outboxrecord
WHERE published_at IS NULL AND failed_at IS NULL ORDER BY id LIMIT %s FOR UPDATE SKIP LOCKED
"""
_READ = """
SELECT id, topic, key, value, headers FROM runtime_outboxrecord
WHERE id = ANY(%s) ORDER BY id
"""
_MARK = "UPDATE runtime_outboxrecord SET published_at = now() WHERE id = ANY(%s)"
_FAIL = "UPDATE runtime_outboxrecord SET failed_at = now(), failure = %s WHERE id = %s"
_LOG_REFUSAL = """
INSERT INTO audit_entry (at, actor, action, subject, trace_id, detail)
SELECT clock_timestamp(), 'relay', 'record_refused_by_kafka', 'outbox:' || id,
  coalesce((
    SELECT substring(header ->> 1 FROM '^00-([0-9a-f]{32})-')
    FROM jsonb_array_elements(headers) header WHERE header ->> 0 = 'traceparent' LIMIT 1), ''),
  jsonb_build_object('topic', topic, 'reason', failure)
FROM runtime_outboxrecord WHERE id = %s
"""


class Relay:
    """Runs on the runtime's loop. Any number may run; one leads."""

    name = "relay"
    description = "Publishes what the database decided: decisions, corrections, ratings, control history."
    writes = (
        topics.RESPONSES_APPROVED,
        topics.RESPONSES_REJECTED,
        topics.RESPONSES_EXPIRED,
        topics.TRAINING_FEEDBACK,
        topics.CONTROL_HISTORY,
    )

    def __init__(self, database: Database, publisher: Publisher) -> None:
        self.state = "standing by"
        self.published = 0
        self.refused = 0
        self._database = database
        self._publisher = publisher

    async def run(self) -> None:
        """Lead or stand by, until cancelled."""
        while True:
            try:
                async with self._database.connection() as connection:
                    await self._lead(connection)
            except (UnavailableError, BrokerError, TimeoutError) as error:
                self.state = f"waiting: {error}"
                log.warning("relay_waits", reason=repr(error))
            await asyncio.sleep(POLL_S)

    async def _lead(self, connection: Connection) -> None:
        cursor = await connection.execute("SELECT pg_try_advisory_lock(%s)", [LEADER])
        row = await cursor.fetchone()
        if row is None or not row[0]:
            self.state = "standing by"
            return
        self.state = "leading"
        try:
            await connection.execute(f"LISTEN {CHANNEL}")
            await self._publish_for_ever(connection)
        finally:
            await _let_go(connection)

    async def _publish_for_ever(self, connection: Connection) -> None:
        while True:
            while await self.publish_batch(connection):
                pass
            async for _ in connection.notifies(timeout=POLL_S, stop_after=1):
                pass

    async def publish_batch(self, connection: Connection) -> int:
        """Publish the oldest records and mark them; what Kafka may take later stays unmarked."""
        async with connection.transaction():
            await connection.execute(_BE_PATIENT)
            rows = await _take(connection)
            failures = await asyncio.gather(*(self._publish(*row) for row in rows))
            refused = {
                row[0]: failure
                for row, failure in zip(rows, failures, strict=True)
                if failure
            }
            published = [row[0] for row in rows if row[0] not in refused]
            await _mark(connection, published, refused)
        self.published += len(published)
        self.refused += len(refused)
        return len(rows)

    async def _publish(
        self,
        number: int,
        topic: str,
        key: bytes | None,
        value: bytes,
        headers: StoredHeaders,
    ) -> str:
        """Return why Kafka will never take it, if so: it must not block what is behind it."""
        record = Outgoing(topic, key, value, headers_of(headers))
        try:
            await self._publisher.publish(record, timeout_s=PUBLISH_TIMEOUT_S)
        except BrokerError as error:
            if error.retriable:
                raise
            log.error(  # noqa: TRY400  # the trace says nothing more
                "outbox_record_refused", id=number, topic=topic, reason=str(error)
            )
            return str(error)
        return ""

    def status(self) -> dict[str, object]:
        return {
            "agent": self.name,
            "state": "running" if self.state in {"leading", "standing by"} else "held",
            "why": self.state,
            "in_flight": 0,
            "done": self.published,
            "errors": self.refused,
            "partitions": 0,
        }


async def _take(connection: Connection) -> list[tuple[Any, ...]]:
    """Return the oldest records, as many as may be in memory at once."""
    locked = await (await connection.execute(_LOCK, [BATCH])).fetchall()
    taken: list[int] = []
    total = 0
    for number, size in locked:
        total += size
        if taken and total > BATCH_BYTES:
            break
        taken.append(number)
    if not taken:
        return []
    return await (await connection.execute(_READ, [taken])).fetchall()


async def _mark(
    connection: Connection, published: list[int], refused: dict[int, str]
) -> None:
    if published:
        await connection.execute(_MARK, [published])
    for number, failure in refused.items():
        await connection.execute(_FAIL, [failure, number])
        await connection.execute(_LOG_REFUSAL, [number])


async def _let_go(connection: "AsyncConnection[tuple[object, ...]]") -> None:
    """Give up leadership, if the connection is still there to say so."""
    if not connection.closed and not connection.broken:
        await connection.execute("SELECT pg_advisory_unlock(%s)", [LEADER])
        await connection.execute(f"UNLISTEN {CHANNEL}")
