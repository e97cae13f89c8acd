"""Writes to control state and the outbox: always inside the transaction of the cause."""

import json
from collections.abc import Iterable
from typing import NamedTuple
from uuid import uuid4

import msgspec
from django.contrib.auth.models import User
from django.db import connection, transaction

from agents import cloudevents, topics
from agents.cloudevents import Envelope, Headers
from agents.control import CHANNEL
from agents.events import ControlChange, Payload
from controlplane.audit import actions as audit
from controlplane.runtime.headers import stored_headers
from controlplane.runtime.models import AgentSwitch, OutboxRecord
from controlplane.runtime.relay import CHANNEL as OUTBOX_CHANNEL

REMOTE_CONTROL = "remote control"  # Celery does not say who sends its commands


class Sent(NamedTuple):
    """A record for the outbox, of the entity that key names."""

    topic: str
    key: str
    data: Payload
    envelope: Envelope


def enqueue(topic: str, *, key: str, data: Payload, envelope: Envelope) -> None:
    """Put a record into the outbox. Hold the row lock of the entity that key names."""
    enqueue_all([Sent(topic, key, data, envelope)])


def enqueue_all(records: Iterable[Sent]) -> None:
    """Put many into the outbox in one statement. Hold all of their row locks."""
    OutboxRecord.objects.bulk_create(_row(sent) for sent in records)
    _notify(OUTBOX_CHANNEL, "")


def _row(sent: Sent) -> OutboxRecord:
    assert isinstance(sent.data, topics.contract_of(sent.topic))
    return OutboxRecord(
        topic=sent.topic,
        key=sent.key.encode(),
        value=msgspec.json.encode(sent.data),
        headers=stored_headers(cloudevents.encode_headers(sent.envelope)),
    )


def enqueue_bytes(
    topic: str, *, key: bytes | None, value: bytes, headers: Headers
) -> OutboxRecord:
    """Put a record into the outbox as it is, whatever its bytes are."""
    row = OutboxRecord.objects.create(
        topic=topic, key=key, value=value, headers=stored_headers(headers)
    )
    _notify(OUTBOX_CHANNEL, "")
    return row


# All of a change in one statement: whoever presses a stop waits for the processor once.
CHANGE = """
WITH moved AS (
  INSERT INTO runtime_controlversion AS row (id, version, changed_at)
  SELECT 1, 1, clock_timestamp() WHERE {only_if}
  ON CONFLICT (id) DO UPDATE SET version = row.version + 1, changed_at = excluded.changed_at
  RETURNING version
), audited AS (
  INSERT INTO audit_entry (at, actor, action, subject, trace_id, detail)
  SELECT clock_timestamp(), %(actor)s, %(kind)s, %(subject)s, '',
    jsonb_build_object('version', version::text) || %(facts)s::jsonb FROM moved
), published AS (
  INSERT INTO runtime_outboxrecord (topic, key, value, headers, created_at, failure)
  SELECT %(topic)s, %(key)s, convert_to((%(data)s::jsonb || jsonb_build_object('version', version))::text, 'UTF8'),
    %(headers)s::jsonb, clock_timestamp(), '' FROM moved
)
SELECT version, pg_notify(%(control_channel)s, version::text), pg_notify(%(outbox_channel)s, '') FROM moved
"""


def change_control(
    *,
    kind: str,
    subject: str,
    actor: User | str,
    reason: str,
    detail: dict[str, str] | None = None,
) -> int:
    """Move the version, wake the runtimes, audit the change and publish its history.

    Call it in the transaction that changes what it is about. Locks the version row.
    """
    given = parameters_of_change(
        kind=kind, subject=subject, actor=actor, reason=reason, detail=detail
    )
    with connection.cursor() as cursor:
        cursor.execute(CHANGE.format(only_if="true"), given)
        return int(cursor.fetchone()[0])


def parameters_of_change(
    *,
    kind: str,
    subject: str,
    actor: User | str,
    reason: str,
    detail: dict[str, str] | None = None,
) -> dict[str, str | bytes]:
    """Return what CHANGE asks for. It puts the version in, which only PostgreSQL knows."""
    change = ControlChange(
        version=0,
        kind=kind,
        subject=subject,
        detail=detail or {},
        actor=audit.name_of(actor),
        reason=reason,
    )
    headers = stored_headers(cloudevents.encode_headers(_envelope_of_change()))
    facts = {"reason": reason} | change.detail
    return {
        "kind": kind,
        "subject": subject,
        "actor": change.actor,
        "facts": json.dumps(facts),
        "topic": topics.CONTROL_HISTORY,
        "key": subject.encode(),
        "data": msgspec.json.encode(change).decode(),
        "headers": json.dumps(headers),
        "control_channel": CHANNEL,
        "outbox_channel": OUTBOX_CHANNEL,
    }


def _envelope_of_change() -> Envelope:
    event_id = str(uuid4())
    return Envelope(
        id=event_id,
        type=ControlChange.__name__,
        source="controlplane",
        trace_id=cloudevents.trace_id_of(event_id),
        workflow="platform",
    )


@transaction.atomic
def switch_agent(agent: str, *, paused: bool, reason: str, actor: User) -> None:
    """Pause or resume an agent on every worker."""
    AgentSwitch.objects.update_or_create(
        agent=agent, defaults={"paused": paused, "reason": reason}
    )
    kind = "agent_paused" if paused else "agent_resumed"
    change_control(kind=kind, subject=f"agent:{agent}", actor=actor, reason=reason)


@transaction.atomic
def record_remote_switch(worker: str, agents: list[str], *, is_paused: bool) -> None:
    """Audit that Celery's remote control pauses agents of one worker, or lets them go on."""
    for agent in agents:
        audit.record(
            REMOTE_CONTROL,
            "agent_paused" if is_paused else "agent_resumed",
            f"agent:{agent}",
            detail={"worker": worker},
        )


def _notify(channel: str, payload: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_notify(%s, %s)", [channel, payload])
