"""The tripwire: measures the rules of automatic stops every second, and has those that trip engage."""

import asyncio
from collections.abc import Callable
from functools import partial

import structlog
from django.conf import settings
from django.db import connections

from agents.agent import UnavailableError
from agents.lags import Lags
from agents.postgres import Connection, Database
from agents.tools import Tools
from controlplane.away import AWAY
from controlplane.stops import automatic, measures, tripping, watched
from controlplane.stops.lag import KafkaLags
from controlplane.stops.tripping import Figure, Verdict
from controlplane.stops.watched import Rule

log = structlog.get_logger()

POLL_S = 1.0
# Whoever has it in a transaction measures. A frozen process loses that after seconds, and so the lock.
MEASURES = 0x1A7E610E

_BE_QUICK = f"""
SET LOCAL plan_cache_mode = force_custom_plan;
SET LOCAL statement_timeout = {measures.TIMEOUT_MS}
"""
_TAKE = """
SELECT pg_try_advisory_xact_lock(%s) AND NOT EXISTS (
  SELECT FROM stops_stoprule
  WHERE measured_at > clock_timestamp() - make_interval(secs => %s))
"""


class Tripwire:
    """Runs on the runtime's loop. Of any number, one measures at a time."""

    name = "tripwire"
    description = "Engages a soft stop when a figure is over the threshold of a rule."
    writes: tuple[str, ...] = ()

    def __init__(
        self, database: Database, lags: Callable[[], Lags | str] | None = None
    ) -> None:
        """lags: asks Kafka, in a thread of its own; a text says why nothing is known."""
        self.state = "standing by"
        self.engaged = 0
        self._database = database
        self._lags = lags or KafkaLags(settings.KAFKA)

    async def run(self) -> None:
        """Measure or stand by, until cancelled."""
        while True:
            try:
                await self.look()
            except (UnavailableError, *AWAY) as error:
                self.state = f"waiting: {error}"
                log.warning("tripwire_waits", reason=repr(error))
            await asyncio.sleep(POLL_S)

    async def look(self) -> None:
        """Judge every rule once, if nobody else has just done so. Kafka is asked last: it may be slow."""
        rules = await self._judge_those_of_postgresql()
        if rules is None:
            self.state = "standing by"
            return
        self.state = "measuring"
        await self._judge_those_of_kafka(
            [rule for rule in rules if rule.terms.metric == "lag_records"]
        )
        await _in_a_thread(automatic.prove_again)
        await _in_a_thread(automatic.finish_releases)

    async def _judge_those_of_postgresql(self) -> list[Rule] | None:
        """Return all rules, or None if it is not for this process to measure."""
        async with self._database.connection() as connection, connection.transaction():
            await connection.execute(_BE_QUICK)
            if not await _is_for_us(connection):
                return None
            rules = await watched.read(connection)
            counted = [
                (rule, await _counted(connection, rule))
                for rule in rules
                if rule.terms.metric != "lag_records"
            ]
            tripped = [
                (rule, verdict)
                for rule, figure in counted
                if (verdict := await watched.note(connection, rule, figure)).trips
            ]
        await self._engage(tripped)
        return rules

    async def _judge_those_of_kafka(self, rules: list[Rule]) -> None:
        if not rules:
            return
        lags = await asyncio.to_thread(self._lags)
        async with self._database.connection() as connection:
            tripped = [
                (rule, verdict)
                for rule in rules
                if (
                    verdict := await watched.note(
                        connection, rule, watched.behind(rule, lags)
                    )
                ).trips
            ]
        await self._engage(tripped)

    async def _engage(self, tripped: list[tuple[Rule, Verdict]]) -> None:
        for rule, verdict in tripped:
            if rule.is_on and not rule.is_covered:
                reason = tripping.reason(rule.terms, verdict)
                self.engaged += await _in_a_thread(
                    partial(
                        automatic.engage,
                        rule.name,
                        armed_at=rule.armed_at,
                        reason=reason,
                    )
                )

    def status(self) -> dict[str, object]:
        is_well = self.state in {"measuring", "standing by"}
        return {
            "agent": self.name,
            "state": "running" if is_well else "held",
            "why": self.state,
            "in_flight": 0,
            "done": self.engaged,
            "errors": 0,
            "partitions": 0,
        }


def tripwire(tools: Tools) -> Tripwire:
    return Tripwire(tools.database)


async def _is_for_us(connection: Connection) -> bool:
    row = await (await connection.execute(_TAKE, [MEASURES, POLL_S / 2])).fetchone()
    return row is not None and bool(row[0])


async def _counted(connection: Connection, rule: Rule) -> Figure:
    return await measures.count(
        connection,
        rule.terms,
        scope=rule.scope,
        value=rule.value,
        since=rule.armed_at,
    )


async def _in_a_thread(act: Callable[[], int]) -> int:
    """Let an action of Django's run, and give its connection back."""

    def run() -> int:
        try:
            return act()
        finally:
            connections.close_all()

    return await asyncio.to_thread(run)
