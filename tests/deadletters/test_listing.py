"""The recorder lists every dead letter with its record, whatever bytes it is."""

from collections import Counter
from collections.abc import AsyncIterator
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from asgiref.sync import sync_to_async
from django.apps import apps
from django.db import connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agents import topics
from agents.host import conninfo
from agents.postgres import Database
from agents.records import Record
from agents.work import STORY, dead_letter
from controlplane.traces.sinks import record
from tests.chat.making import record as make_record
from tests.chat.making import rows
from tests.deadletters.making import headers_for
from tests.guardrails.factories import make_masker

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
async def database() -> AsyncIterator[Database]:
    pool = Database(conninfo())
    await pool.open()
    yield pool
    await pool.close()


async def write(database: Database, *records: Record) -> None:
    async with database.connection() as connection, connection.transaction():
        await connection.execute(
            "INSERT INTO traces_recorderoffset (topic, partition, next_offset) "
            "VALUES (%s, 0, 0) ON CONFLICT DO NOTHING",
            [topics.DEAD_LETTERS],
        )
        await record(connection, records, masker=make_masker())


def letter(failed: Record, *, offset: int = 0, reason: str = "boom") -> Record:
    made = dead_letter(failed, agent="guard", reason=reason, attempts=3)
    return make_record(
        topics.DEAD_LETTERS,
        offset=offset,
        key=made.key,
        value=made.value,
        headers=made.headers,
    )


async def listed(database: Database) -> list[tuple[Any, ...]]:
    return await rows(
        database,
        'SELECT "offset", agent, topic, topic_partition, topic_offset, key, reason, attempts, '
        "size_bytes, trace_id, redrive_of, state FROM deadletters_letter ORDER BY id",
    )


async def test_a_letter_says_what_failed_where_and_why(database: Database) -> None:
    headers = [*headers_for("ab" * 16), ("ilk_redrive", b"agents.dlq/3@9")]
    failed = make_record(
        "user.messages.raw",
        partition=4,
        offset=2**40,
        key=b"c\xff",
        value=b"\x00",
        headers=headers,
    )

    of_it = letter(failed, reason="no\x00model")
    await write(database, of_it)
    await write(database, of_it)  # read again after a crash

    assert await listed(database) == [
        (
            0,
            "guard",
            "user.messages.raw",
            4,
            2**40,
            "c\\xff",
            "no\N{SYMBOL FOR NULL}model",
            3,
            1,
            "ab" * 16,
            "agents.dlq/3@9",
            "open",
        )
    ]


async def test_a_letter_at_the_place_of_one_in_a_log_that_is_gone_is_another(
    database: Database,
) -> None:
    """Kafka was emptied: its offsets begin at 0 again, and the record has another time."""
    before = letter(make_record("user.messages.raw"), reason="before")
    after = letter(make_record("user.messages.raw"), reason="after")
    later = msgspec.structs.replace(after, timestamp_ms=before.timestamp_ms + 60_000)

    await write(database, before)
    await write(database, later)

    assert [row[6] for row in await listed(database)] == ["before", "after"]


async def test_a_record_that_says_nothing_is_listed_too(database: Database) -> None:
    await write(database, make_record(topics.DEAD_LETTERS, key=None, value=b""))

    assert await listed(database) == [
        (0, "", "", None, None, "", "", 0, 0, "", "", "open")
    ]


async def test_letters_from_before_there_was_a_list_are_listed_by_the_migration(
    database: Database,
) -> None:
    odd = make_record(topics.DEAD_LETTERS, offset=1, key=None, value=b"\xff")
    await write(database, letter(make_record(value=b"\x00")), odd)
    before = await listed(database)
    await rows(database, "DELETE FROM deadletters_letter")

    await sync_to_async(_migrate, thread_sensitive=False)()

    assert Counter(await listed(database)) == Counter(before)
    assert len(before) == 2


def _migrate() -> None:
    migration = import_module(
        "controlplane.deadletters.migrations.0002_list_known_letters"
    )
    migration.list_known(apps, SimpleNamespace(connection=connection))
    connection.close()


async def test_other_records_are_no_letters(database: Database) -> None:
    await rows(
        database,
        "INSERT INTO traces_recorderoffset (topic, partition, next_offset) "
        "VALUES ('user.messages.raw', 0, 0)",
    )

    await write(database, make_record("user.messages.raw"))

    assert await listed(database) == []


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    headers=st.lists(
        st.tuples(
            st.sampled_from([*STORY, "ilk_redrive", "ce_id", "traceparent"]),
            st.binary(max_size=40)
            | st.integers().map(lambda n: str(n).encode())
            | st.sampled_from([b"2147483648", b"9223372036854775808", "²".encode()]),
        ),
        max_size=10,
    )
)
async def test_whatever_somebody_writes_there_is_listed(
    database: Database, headers: list[tuple[str, bytes]]
) -> None:
    before = len(await listed(database))

    await write(
        database, make_record(topics.DEAD_LETTERS, offset=before, headers=headers)
    )

    assert len(await listed(database)) == before + 1
