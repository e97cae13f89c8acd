"""History is inserted and read. Nobody changes it: not the application, not by another table."""

from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction

from controlplane.audit import actions
from controlplane.audit.models import Entry
from controlplane.audit.permissions import APPEND_ONLY
from controlplane.traces.actions import create_partitions
from tests.owner import connect_as_owner

pytestmark = pytest.mark.django_db(transaction=True)


def make_entry(**fields: Any) -> Entry:
    with transaction.atomic():
        return actions.record("ada", "stop_requested", "stop:1", **fields)


def test_a_line_says_who_did_what_to_what() -> None:
    entry = make_entry(trace_id="ab" * 16, detail={"why": "drill"})

    entry.refresh_from_db()
    assert str(entry).endswith("ada stop_requested stop:1")
    assert (entry.trace_id, entry.detail) == ("ab" * 16, {"why": "drill"})


def test_a_line_outside_a_transaction_is_refused() -> None:
    with pytest.raises(actions.OutsideTransactionError, match="stop_requested"):
        actions.record("ada", "stop_requested", "stop:1")

    assert not Entry.objects.exists()


def test_a_line_vanishes_with_the_change_it_is_about() -> None:
    def change() -> None:
        with transaction.atomic():
            actions.record("ada", "stop_requested", "stop:1")
            raise LookupError

    with pytest.raises(LookupError):
        change()

    assert not Entry.objects.exists()


STATEMENTS = {
    "update": 'UPDATE "{table}" SET {column} = {column}',
    "delete": 'DELETE FROM "{table}"',
    "truncate": 'TRUNCATE "{table}" CASCADE',
}


def history() -> list[str]:
    """Return the append-only tables and the partitions below them."""
    create_partitions()
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT relid::regclass::text FROM unnest(%s::regclass[]) root, "
            "pg_partition_tree(root) UNION SELECT unnest(%s::text[]) ORDER BY 1",
            [list(APPEND_ONLY), list(APPEND_ONLY)],
        )
        return [row[0] for row in cursor.fetchall()]


@pytest.mark.parametrize("verb", STATEMENTS)
def test_the_application_cannot_change_history(verb: str) -> None:
    tables = history()
    assert any(name.startswith("traces_payload_2") for name in tables)
    for table in tables:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum = 1",
                [table],
            )
            [column] = cursor.fetchone() or [""]
            statement = STATEMENTS[verb].format(table=table, column=f'"{column}"')
            with pytest.raises(DatabaseError, match="permission denied"):
                cursor.execute(statement)


def test_the_application_inserts_and_reads_history() -> None:
    with connection.cursor() as cursor:
        for table in APPEND_ONLY:
            cursor.execute(
                "SELECT has_table_privilege(%s, 'INSERT') AND has_table_privilege(%s, 'SELECT')",
                [table, table],
            )
            assert cursor.fetchone() == (True,), table


@pytest.mark.parametrize("verb", ["update", "delete"])
def test_the_owner_cannot_change_the_log_either(verb: str) -> None:
    make_entry()

    with connect_as_owner() as owner, pytest.raises(Exception, match="append-only"):
        owner.execute(
            STATEMENTS[verb].format(table="audit_entry", column="actor").encode()
        )

    assert Entry.objects.count() == 1


def test_the_application_owns_no_table() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_tables WHERE tableowner = current_user")
        assert cursor.fetchone() == (0,)
