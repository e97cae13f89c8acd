"""Every write to the trace index that the recorder does not do."""

from django.db import connection

MONTHS_AHEAD = 2


def create_partitions() -> int:
    """Make this month's and the next months' partitions; return how many were missing."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT traces_create_partitions(%s)", [MONTHS_AHEAD])
        row = cursor.fetchone()
    assert row is not None
    return int(row[0])
