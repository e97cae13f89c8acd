"""The rules of automatic stops as the tripwire reads and writes them, over plain psycopg."""

from datetime import datetime
from typing import Any

import msgspec

from agents.lags import Lags
from agents.postgres import Connection
from controlplane.stops import tripping
from controlplane.stops.lag import furthest_behind
from controlplane.stops.tripping import Figure, Terms, Verdict

_RULES = """
SELECT name, metric, scope, value, threshold, "window", minimum, is_on, changed_at, above_since,
  clock_timestamp()
FROM stops_stoprule ORDER BY name
"""
_STOPS = """
SELECT scope, value, bool_or(releasing_at IS NULL), max(releasing_at) FROM stops_stop
WHERE scope <> 'conversation' GROUP BY scope, value
"""
# Of a rule that somebody changed meanwhile, what was counted says nothing.
_NOTE = """
UPDATE stops_stoprule SET count = %s, items = %s, about = %s, unknown = %s, above_since = %s,
  measured_at = clock_timestamp()
WHERE name = %s AND changed_at = %s
"""


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """As it stands now: armed_at says from when on things count; covered, that a stop is in force."""

    name: str
    scope: str
    value: str
    terms: Terms
    is_on: bool
    changed_at: datetime
    armed_at: datetime
    above_since: datetime | None
    is_covered: bool
    now: datetime


async def read(connection: Connection) -> list[Rule]:
    stops = await (await connection.execute(_STOPS)).fetchall()
    rows = await (await connection.execute(_RULES)).fetchall()
    return [_rule(row, stops) for row in rows]


def _rule(row: tuple[Any, ...], stops: list[tuple[Any, ...]]) -> Rule:
    name, metric, scope, value, threshold, window, minimum, is_on, changed_at = row[:9]
    over_it = [
        (is_in_force, released_at)
        for of_scope, of_value, is_in_force, released_at in stops
        if tripping.covers(of_scope, of_value, rule_scope=scope, rule_value=value)
    ]
    released = [at for _, at in over_it if at is not None]
    return Rule(
        name=name,
        scope=scope,
        value=value,
        terms=Terms(metric=metric, threshold=threshold, window=window, minimum=minimum),
        is_on=is_on,
        changed_at=changed_at,
        armed_at=max([changed_at, *released]),
        above_since=row[9],
        is_covered=any(is_in_force for is_in_force, _ in over_it),
        now=row[10],
    )


def behind(rule: Rule, lags: Lags | str) -> Figure:
    figure = furthest_behind(lags, scope=rule.scope, value=rule.value)
    since = tripping.above_since(
        rule.terms, figure, before=rule.above_since, now=rule.now
    )
    return msgspec.structs.replace(figure, above_since=since)


async def note(connection: Connection, rule: Rule, figure: Figure) -> Verdict:
    """Write down what was counted, for the pages, and say what follows from it."""
    await connection.execute(
        _NOTE,
        [
            figure.count,
            figure.items,
            figure.about,
            figure.unknown,
            figure.above_since,
            rule.name,
            rule.changed_at,
        ],
    )
    return tripping.judge(rule.terms, figure, armed_at=rule.armed_at, now=rule.now)
