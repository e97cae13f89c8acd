"""Waits for PostgreSQL's locks that end, so that a click never hangs behind somebody's transaction."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import OperationalError, connection, transaction
from psycopg.errors import LockNotAvailable


class LockTimeoutError(Exception):
    """Another transaction kept a lock for longer than we wait. Nothing was changed."""


@contextmanager
def atomic(*, lock_timeout_ms: int) -> Iterator[None]:
    """The outermost transaction, which waits for each lock no longer than this.

    LockTimeoutError when it was longer: the transaction is rolled back and may be tried again.
    """
    try:
        with transaction.atomic(durable=True):
            with connection.cursor() as cursor:
                cursor.execute(
                    "SELECT set_config('lock_timeout', %s, true)",
                    [f"{lock_timeout_ms}ms"],
                )
            yield
    except OperationalError as error:
        if not isinstance(error.__cause__, LockNotAvailable):
            raise
        raise LockTimeoutError(str(error)) from error
