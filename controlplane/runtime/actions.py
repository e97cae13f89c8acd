"""Writes to control state and the outbox: always inside the transaction of the cause."""

from collections.abc import Iterable
from typing import NamedTuple

import msgspec
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.utils import timezone

from agents import cloudevents, topics
from agents.cloudevents import Envelope, Headers
from agents.control import CHANNEL
from agents.events import ControlChange, Payload
from controlplane.audit import actions as audit
from controlplane.runtime.headers import stored_headers
from controlplane.runtime.models import AgentSwitch, ControlVersion, OutboxRecord
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


@transaction.atomic
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
    row, _ = ControlVersion.objects.select_for_update().get_or_create(pk=1)
    row.version += 1
    row.changed_at = timezone.now()
    row.save(update_fields=["version", "changed_at"])
    _notify(CHANNEL, str(row.version))
    name = audit.name_of(actor)
    facts = {"version": str(row.version), "reason": reason} | (detail or {})
    audit.record(name, kind, subject, detail=facts)
    change = ControlChange(
        version=row.version,
        kind=kind,
        subject=subject,
        detail=detail or {},
        actor=name,
        reason=reason,
    )
    event_id = cloudevents.derive_id(
        f"control-{row.version}", "control", topics.CONTROL_HISTORY, 0
    )
    envelope = Envelope(
        id=event_id,
        type=type(change).__name__,
        source="controlplane",
        trace_id=cloudevents.trace_id_of(event_id),
        workflow="platform",
    )
    enqueue(topics.CONTROL_HISTORY, key=subject, data=change, envelope=envelope)
    return row.version


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
