"""Waits for PostgreSQL's locks that end, so that a click never hangs behind somebody's transaction."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from django.db import OperationalError, connection, transaction
from psycopg.errors import LockNotAvailable

_WAIT = "SELECT set_config('lock_timeout', %(lock_timeout)s, true)"


class LockTimeoutError(Exception):
    """Another transaction kept a lock for longer than we wait. Nothing was changed."""


@contextmanager
def atomic(*, lock_timeout_ms: int) -> Iterator[None]:
    """The outermost transaction, which waits for each lock no longer than this.

    LockTimeoutError when it was longer: the transaction is rolled back and may be tried again.
    """
    with _in_time(), transaction.atomic(durable=True):
        with connection.cursor() as cursor:
            cursor.execute(_WAIT, {"lock_timeout": f"{lock_timeout_ms}ms"})
        yield


def run(
    statements: str, parameters: dict[str, int | str], *, lock_timeout_ms: int
) -> None:
    """The same for statements that need no answer: all of them in one trip to PostgreSQL."""
    given = parameters | {"lock_timeout": f"{lock_timeout_ms}ms"}
    with _in_time(), _outermost(), connection.cursor() as cursor:
        cursor.execute(f"{_WAIT}; {statements}", given)


def _outermost() -> AbstractContextManager[None]:
    """Several statements are a transaction without being told so; inside of another one Django refuses them."""
    inside = connection.in_atomic_block
    return transaction.atomic(durable=True) if inside else nullcontext()


@contextmanager
def _in_time() -> Iterator[None]:
    try:
        yield
    except OperationalError as error:
        if not isinstance(error.__cause__, LockNotAvailable):
            raise
        raise LockTimeoutError(str(error)) from error
