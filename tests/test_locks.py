"""Waits for locks that end."""

import psycopg
import pytest
from django.db import OperationalError, connection, transaction

from agents.host import conninfo
from controlplane import locks

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_lock_that_is_not_given_in_time_is_an_error_of_its_own() -> None:
    with psycopg.connect(conninfo()) as holder:
        holder.execute("SELECT pg_advisory_xact_lock(1)")

        with pytest.raises(locks.LockTimeoutError), locks.atomic(lock_timeout_ms=20):
            _execute("SELECT pg_advisory_xact_lock(1)")


def test_other_errors_of_the_database_stay_what_they_are() -> None:
    cancelled = "SET LOCAL statement_timeout = 20; SELECT pg_sleep(5)"

    with (
        pytest.raises(OperationalError, match="statement timeout"),
        locks.atomic(lock_timeout_ms=20),
    ):
        _execute(cancelled)


def test_the_bound_ends_with_the_transaction() -> None:
    with locks.atomic(lock_timeout_ms=20):
        assert _setting() == "20ms"

    assert _setting() == "0"


def test_it_is_the_outermost_transaction_or_none() -> None:
    with (
        pytest.raises(RuntimeError, match="durable"),
        transaction.atomic(),
        locks.atomic(lock_timeout_ms=20),
    ):
        raise AssertionError("it was let in")


def test_several_statements_are_one_transaction_with_the_same_bound() -> None:
    once = "SELECT pg_advisory_xact_lock(%(lock)s)"
    with psycopg.connect(conninfo()) as holder:
        holder.execute("SELECT pg_advisory_xact_lock(1)")

        with pytest.raises(locks.LockTimeoutError):
            locks.run(f"{once}; SELECT 1 / 0", {"lock": 1}, lock_timeout_ms=20)
    locks.run(once, {"lock": 1}, lock_timeout_ms=20)

    assert _setting() == "0"
    with pytest.raises(RuntimeError, match="durable"), transaction.atomic():
        locks.run(once, {"lock": 1}, lock_timeout_ms=20)


def _execute(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)


def _setting() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SHOW lock_timeout")
        [value] = cursor.fetchone() or [""]
    return str(value)
