"""Measures what alerts are about, and remembers since when each has been seen."""

import threading
from collections.abc import Iterable
from datetime import datetime, timedelta

from django.conf import settings
from django.db import connection
from django.db.models import Count, Q
from django.utils import timezone
from msgspec import structs

from controlplane.home.alerts import Alert, Figures, OldestTurn, Thresholds
from controlplane.home.backlog import Backlog
from controlplane.runtime.models import HEARTBEAT_EXPIRES, Heartbeat
from moderation.models import Approval

HOUR = timedelta(hours=1)
# What Kafka has not confirmed has no outcome yet, and none at all if Kafka never gets it.
_UNFINISHED = """
SELECT trace_id, created_at, count(*) OVER () FROM (
  SELECT t.id, t.trace_id, t.created_at FROM chat_turn t
  JOIN chat_outcome o ON o.turn_id = t.id AND o.effect = 'reply' AND o.state = 'open'
  UNION
  SELECT id, trace_id, created_at FROM chat_turn
  WHERE accepted_at IS NULL AND created_at >= %s
) AS unfinished ORDER BY created_at LIMIT 1
"""


def measure(backlog: Backlog) -> Figures:
    now = timezone.now()
    oldest, unfinished = _unfinished(now)
    waiting = Approval.objects.pending().aggregate(
        held=Count("pk"), overdue=Count("pk", filter=Q(deadline_at__lt=now))
    )
    return Figures(
        at=now,
        lags=backlog.lags,
        oldest_turn=oldest,
        unfinished=unfinished,
        held=waiting["held"],
        overdue=waiting["overdue"],
        restarts=_restarts(now),
        dead_letters_per_minute=backlog.dead_letters_per_minute,
    )


def thresholds() -> Thresholds:
    return Thresholds(
        lag_records=settings.ALERT_LAG_RECORDS,
        oldest_turn_s=settings.ALERT_OLDEST_TURN_S,
        restarts_per_hour=settings.ALERT_RESTARTS_PER_HOUR,
        dead_letters_per_minute=settings.ALERT_DEAD_LETTERS_PER_MINUTE,
    )


def _unfinished(now: datetime) -> tuple[OldestTurn | None, int]:
    with connection.cursor() as cursor:
        cursor.execute(_UNFINISHED, [now - HOUR])
        row = cursor.fetchone()
    return (OldestTurn(row[0], row[1]), row[2]) if row else (None, 0)


def _restarts(now: datetime) -> int:
    """A worker that ends by itself takes its row along, so rows that fell silent are crashes."""
    lately = Heartbeat.objects.filter(seen_at__gte=now - HOUR)
    counted = lately.aggregate(
        lost=Count("pk", filter=Q(seen_at__lt=now - HEARTBEAT_EXPIRES)),
        started=Count("pk", filter=Q(started_at__gte=now - HOUR)),
    )
    return int(min(counted["lost"], counted["started"]))


class Sightings:
    """Remembers in this process since when an alert has been in force."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._first: dict[tuple[str, str], datetime] = {}

    def date(self, alerts: Iterable[Alert], at: datetime) -> list[Alert]:
        """Return the alerts with a time each, and forget those that are over."""
        with self._lock:
            dated = [
                structs.replace(
                    alert,
                    since=alert.since or self._first.get((alert.name, alert.about), at),
                )
                for alert in alerts
            ]
            self._first = {
                (alert.name, alert.about): alert.since or at for alert in dated
            }
            return dated


sightings = Sightings()
