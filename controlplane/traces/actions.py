"""Every write to the trace index that the recorder does not do, and reads that are audited."""

import base64

import msgspec
from django.contrib.auth.models import User
from django.db import connection, transaction

from agents.cloudevents import Headers
from controlplane.audit import actions as audit
from controlplane.traces.models import TracePayload, TraceRecord

MONTHS_AHEAD = 2


class NoPayloadError(Exception):
    """The trace has no such record, or its bytes are no longer kept."""


class Payload(msgspec.Struct, frozen=True, kw_only=True):
    """A record as it came from Kafka."""

    record: TraceRecord
    key: bytes
    value: bytes
    headers: Headers


def create_partitions() -> int:
    """Make this month's and the next months' partitions; return how many were missing."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT traces_create_partitions(%s)", [MONTHS_AHEAD])
        row = cursor.fetchone()
    assert row is not None
    return int(row[0])


@transaction.atomic
def read_payload(
    trace_id: str, *, topic: str, partition: int, offset: int, reader: User
) -> Payload:
    """Return a record's bytes, and record that this person has read them."""
    if "\x00" in trace_id + topic:  # no text of PostgreSQL holds it
        raise NoPayloadError
    records = TraceRecord.objects.filter(trace_id=trace_id)
    record = records.at_coordinates(topic, partition, offset).first()
    if record is None:
        raise NoPayloadError
    row = TracePayload.objects.filter(
        topic=topic, partition=partition, offset=offset, at=record.at
    ).first()
    if row is None:
        raise NoPayloadError
    audit.record(reader, "payload_read", f"record:{record}"[:200], trace_id=trace_id)
    return Payload(
        record=record,
        key=bytes(row.key or b""),
        value=bytes(row.value),
        headers=headers_of(row),
    )


def headers_of(row: TracePayload) -> Headers:
    """Return the headers as they came from Kafka."""
    stored = msgspec.json.decode(bytes(row.headers), type=list[tuple[str, str]])
    return [(name, base64.b64decode(value)) for name, value in stored]
