"""One clock for what is compared across processes: that of PostgreSQL."""

from datetime import datetime

from django.db import connection


def database_now() -> datetime:
    """Return the time of this moment, not that of the transaction's start."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        [now] = cursor.fetchone()
    assert isinstance(now, datetime)
    return now
