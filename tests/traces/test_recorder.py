"""The recorder: its rows are the records, whatever bytes they are, and each is written once."""

import asyncio
import base64
import hashlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agents.agent import UnavailableError
from agents.events import UserMessage
from agents.host import conninfo
from agents.postgres import Database
from agents.records import Record
from agents.tools import Tools
from controlplane.traces.sinks import index_row, record, recorder
from guardrails.masking import NOT_SEARCHED
from guardrails.verdicts import Verdict
from tests.chat.making import event, finding, rows
from tests.chat.making import record as make_record
from tests.guardrails.factories import make_masker

INCOMPRESSIBLE = "".join(
    hashlib.sha512(bytes([n])).hexdigest() for n in range(100)
).encode()

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
async def database() -> AsyncIterator[Database]:
    pool = Database(conninfo())
    await pool.open()
    yield pool
    await pool.close()


async def start_at(database: Database, *partitions: int) -> None:
    for partition in partitions or (0,):
        await rows(
            database,
            "INSERT INTO traces_recorderoffset (topic, partition, next_offset) "
            "VALUES ('user.messages.raw', %s, 0) ON CONFLICT DO NOTHING",
            [partition],
        )


async def write(database: Database, *records: Record) -> int:
    async with database.connection() as connection, connection.transaction():
        return await record(connection, records, masker=make_masker())


async def stored(database: Database) -> list[Record]:
    """Return the payload rows as records."""
    found = await rows(
        database,
        'SELECT topic, partition, "offset", at, key, value, headers FROM traces_payload '
        'ORDER BY topic, partition, "offset"',
    )
    return [
        Record(
            topic=topic,
            partition=partition,
            offset=offset,
            timestamp_ms=round(at.timestamp() * 1000),
            key=key,
            value=value,
            headers=[
                (name, base64.b64decode(text))
                for name, text in msgspec.json.decode(headers)
            ],
        )
        for topic, partition, offset, at, key, value, headers in found
    ]


def any_bytes() -> st.SearchStrategy[bytes]:
    return st.one_of(
        st.binary(max_size=50),
        st.sampled_from(
            [b"\x00", b"\xff\xfe", b'{"text":"a\\u0000b"}', b'{"text":7}', b"[1]"]
        ),
    )


def names() -> st.SearchStrategy[str]:
    known = st.sampled_from(
        ["ce_id", "ce_type", "ce_source", "traceparent", "ilk_parent"]
    )
    return known | st.text(st.characters(exclude_categories=["Cs"]), max_size=10)


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    contents=st.lists(
        st.tuples(
            st.none() | any_bytes(),
            any_bytes(),
            st.lists(st.tuples(names(), any_bytes()), max_size=8),
        ),
        min_size=1,
        max_size=6,
    )
)
async def test_payloads_are_the_records_byte_for_byte(
    database: Database,
    contents: list[tuple[bytes | None, bytes, list[tuple[str, bytes]]]],
) -> None:
    await rows(database, "UPDATE traces_recorderoffset SET next_offset = 0")
    await start_at(database)
    before = await stored(database)
    base = max((found.offset for found in before), default=-1) + 1
    records = [
        make_record(key=key, value=value, headers=headers, offset=base + n)
        for n, (key, value, headers) in enumerate(contents)
    ]

    assert await write(database, *records) == len(records)

    assert await stored(database) == before + records
    [last] = await rows(
        database,
        'SELECT key_sha256, value_sha256, size_bytes FROM traces_record WHERE "offset" = %s',
        [records[-1].offset],
    )
    assert last == (
        hashlib.sha256(records[-1].key or b"").digest(),
        hashlib.sha256(records[-1].value).digest(),
        len(records[-1].value),
    )


async def test_a_readable_record_is_found_by_its_trace(database: Database) -> None:
    await start_at(database)
    said = UserMessage(conversation_id="c1", text="hello\x00there")
    kept = event(
        "user.messages.raw", said, id="e1", parents=("p1", "p2"), tier="pro"
    ).record

    await write(database, kept)

    assert await rows(
        database,
        "SELECT event_id, parents, type, agent, conversation_id, tier, text "
        "FROM traces_record WHERE trace_id = %s",
        ["ab" * 16],
    ) == [
        ("e1", ["p1", "p2"], "UserMessage", "output-guard", "c1", "pro", "hello␀there")
    ]


async def test_personal_data_is_in_the_payload_and_not_in_the_index(
    database: Database,
) -> None:
    await start_at(database)
    said = UserMessage(conversation_id="c1", text="My card is 4111 1111 1111 1111.")

    await write(database, event("user.messages.raw", said).record)

    [(text, value)] = await rows(
        database,
        "SELECT text, convert_from(value, 'UTF8') FROM traces_record "
        'JOIN traces_payload USING (topic, partition, "offset", at)',
    )
    assert text == "My card is [card]."
    assert "4111 1111 1111 1111" in value


def test_what_cannot_be_searched_for_personal_data_cannot_be_searched() -> None:
    said = UserMessage(conversation_id="c1", text="+49 711 12345 " * 20_000)

    row = index_row(event("user.messages.raw", said).record, make_masker())

    assert row[13] == NOT_SEARCHED


async def test_a_record_is_found_by_the_rules_that_hit_and_by_its_backend(
    database: Database,
) -> None:
    await start_at(database)
    hits = (finding(rule="promise"), finding(rule="discount"), finding(rule="promise"))
    checked = msgspec.json.encode(
        {
            "verdict": Verdict(action="tag", findings=hits, shadow=hits[:1]),
            "backend": "demo",
        }
    )
    others = [b'{"verdict": 1, "backend": 2}', b'{"verdict": {"findings": [{}]}}']

    await write(
        database,
        *(
            make_record(offset=offset, value=value)
            for offset, value in enumerate([checked, *others])
        ),
    )

    assert await rows(
        database, 'SELECT rules, watched, backend FROM traces_record ORDER BY "offset"'
    ) == [(["discount", "promise"], ["promise"], "demo"), ([], [], ""), ([], [], "")]


@pytest.mark.parametrize(
    "fields",
    [
        {"headers": [], "value": b"\xff"},
        {"value": b'{"a":' + b"[" * 100_000},
        {"value": b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"},
        {"key": bytes(range(256)) * 40},
        {"key": INCOMPRESSIBLE},
        {"headers": [("h" * 1_000, b"v" * 1_000_000)]},
        {"headers": [("ce_id", b"\xff")]},
        {"key": None, "value": b""},
    ],
    ids=[
        "bytes",
        "cut",
        "deep",
        "long key",
        "long text key",
        "huge header",
        "bad header",
        "empty",
    ],
)
async def test_a_record_that_cannot_be_read_is_indexed_by_its_coordinates(
    database: Database, fields: dict[str, Any]
) -> None:
    await start_at(database)
    odd = make_record(**fields)

    assert await write(database, odd) == 1

    assert await rows(
        database,
        'SELECT topic, partition, "offset", trace_id, event_id FROM traces_record',
    ) == [("user.messages.raw", 0, 0, "", "")]
    assert await stored(database) == [odd]


async def test_offsets_move_with_the_rows_or_not_at_all(database: Database) -> None:
    await start_at(database)

    async def write_and_die() -> None:
        async with database.connection() as connection, connection.transaction():
            await record(connection, [make_record(offset=0)], masker=make_masker())
            await connection.execute("SELECT pg_terminate_backend(pg_backend_pid())")

    with pytest.raises(UnavailableError):
        await write_and_die()
    assert await stored(database) == []
    assert await rows(database, "SELECT next_offset FROM traces_recorderoffset") == [
        (0,)
    ]

    await write(database, make_record(offset=0), make_record(offset=1))
    assert await rows(database, "SELECT next_offset FROM traces_recorderoffset") == [
        (2,)
    ]


async def test_two_recorders_with_the_same_batch_write_it_once(
    database: Database,
) -> None:
    await start_at(database, 0, 1)
    batch = [make_record(offset=n // 2, partition=n % 2) for n in range(200)]

    counts = await asyncio.gather(*(write(database, *batch) for _ in range(4)))

    assert sorted(counts) == [0, 0, 0, 200]
    assert len(await stored(database)) == 200


async def test_a_late_recorder_writes_only_what_is_missing(database: Database) -> None:
    await start_at(database)
    batch = [make_record(offset=n) for n in range(10)]
    await write(database, *batch[:6])

    assert await write(database, *batch[3:]) == 4
    assert [kept.offset for kept in await stored(database)] == list(range(10))


async def test_recorders_take_partitions_in_one_order(database: Database) -> None:
    await start_at(database, *range(6))
    for number in range(30):
        batch = [make_record(offset=number, partition=n) for n in range(6)]
        await asyncio.gather(write(database, *batch), write(database, *reversed(batch)))

    assert len(await stored(database)) == 180


async def test_the_agent_starts_where_its_rows_end(database: Database) -> None:
    tools = Tools(conninfo(), {}, make_masker())
    await tools.database.open()
    try:
        agent = recorder(tools)
        assert agent.start_offsets is not None
        assert agent.handle_records is not None
        partition = ("user.messages.raw", 0)
        assert agent.start_offsets([partition]) == {partition: 0}
        await agent.handle_records([make_record(offset=0), make_record(offset=1)])
        assert agent.start_offsets([partition]) == {partition: 2}
    finally:
        await tools.database.close()
        await asyncio.to_thread(tools.publisher.close)


def test_a_text_that_is_no_text_is_not_searched() -> None:
    assert index_row(make_record(value=b'{"text":{"a":1}}'), make_masker())[13] == ""


async def test_rows_stand_in_the_month_of_their_record(database: Database) -> None:
    await start_at(database)
    now = datetime.now(UTC)
    await write(
        database,
        make_record(offset=0, timestamp_ms=int(now.timestamp() * 1000)),
        make_record(offset=1, timestamp_ms=946_684_800_000),
    )

    for table in ("traces_record", "traces_payload"):
        statement = f'SELECT tableoid::regclass::text FROM {table} ORDER BY "offset"'  # noqa: S608
        found = await rows(database, statement)
        assert found == [(f"{table}_{now:%Y_%m}",), (f"{table}_other",)]
