import msgspec
import psycopg
import pytest
from django.db import transaction

from agents import topics
from agents.cloudevents import decode_headers, trace_id_of
from agents.control import CHANNEL
from agents.events import ControlChange
from agents.host import conninfo
from controlplane.audit.models import Entry
from controlplane.runtime.actions import change_control, enqueue, switch_agent
from controlplane.runtime.models import AgentSwitch, ControlVersion, OutboxRecord
from controlplane.runtime.relay import CHANNEL as OUTBOX_CHANNEL
from tests.agents.stage import Note, envelope
from tests.factories import make_admin

pytestmark = pytest.mark.django_db(transaction=True)


def change(reason: str = "too many complaints") -> int:
    return change_control(
        kind="agent_paused",
        subject="agent:guard",
        actor="ada",
        reason=reason,
        detail={"why": "x"},
    )


def test_a_change_moves_the_version_and_writes_audit_and_history() -> None:
    before = ControlVersion.objects.get()

    version = change()

    row = ControlVersion.objects.get()
    assert (version, row.version) == (before.version + 1, before.version + 1)
    assert row.changed_at > before.changed_at
    assert str(row) == f"v{version}"
    entry = Entry.objects.get()
    assert (entry.actor, entry.action, entry.subject) == (
        "ada",
        "agent_paused",
        "agent:guard",
    )
    assert entry.detail == {
        "version": str(version),
        "reason": "too many complaints",
        "why": "x",
    }
    record = OutboxRecord.objects.get()
    assert (record.topic, bytes(record.key or b"")) == (
        topics.CONTROL_HISTORY,
        b"agent:guard",
    )
    assert record.published_at is None
    assert msgspec.json.decode(
        bytes(record.value), type=ControlChange
    ) == ControlChange(
        version=version,
        kind="agent_paused",
        subject="agent:guard",
        detail={"why": "x"},
        actor="ada",
        reason="too many complaints",
    )
    of = decode_headers([(name, text.encode()) for name, text in record.headers])
    assert of.trace_id == trace_id_of(of.id)
    assert (of.type, of.workflow) == ("ControlChange", "platform")
    assert str(record).startswith(topics.CONTROL_HISTORY)


def test_both_channels_are_notified_when_the_change_commits_and_not_before() -> None:
    with psycopg.connect(conninfo(), autocommit=True) as listener:
        listener.execute(f"LISTEN {CHANNEL}")
        listener.execute(f"LISTEN {OUTBOX_CHANNEL}")
        with transaction.atomic():
            version = change()
            assert list(listener.notifies(timeout=0.1)) == []

        heard = {
            (notify.channel, notify.payload)
            for notify in listener.notifies(timeout=5, stop_after=2)
        }
    assert heard == {(CHANNEL, str(version)), (OUTBOX_CHANNEL, "")}


def test_a_rollback_leaves_nothing_of_a_change() -> None:
    before = ControlVersion.objects.get().version

    with psycopg.connect(conninfo(), autocommit=True) as listener:
        listener.execute(f"LISTEN {CHANNEL}")
        with transaction.atomic():
            change()
            transaction.set_rollback(True)
        assert list(listener.notifies(timeout=0.1)) == []

    assert ControlVersion.objects.get().version == before
    assert not Entry.objects.exists()
    assert not OutboxRecord.objects.exists()


def test_a_missing_version_row_is_made() -> None:
    with transaction.atomic():
        ControlVersion.objects.all().delete()
        assert change() == 1
        transaction.set_rollback(True)


def test_an_agent_is_switched_off_and_on_and_both_are_on_record() -> None:
    ada = make_admin("ada")

    switch_agent("guard", paused=True, reason="it errs", actor=ada)
    assert str(AgentSwitch.objects.get()) == "guard: paused"

    switch_agent("guard", paused=False, reason="mended", actor=ada)
    switch = AgentSwitch.objects.get()
    assert (str(switch), switch.reason) == ("guard: running", "mended")
    assert list(Entry.objects.order_by("id").values_list("action", "actor")) == [
        ("agent_paused", "ada"),
        ("agent_resumed", "ada"),
    ]


def test_only_what_the_topic_carries_is_enqueued() -> None:
    with pytest.raises(AssertionError):
        enqueue(
            topics.CONTROL_HISTORY, key="k", data=Note(text="x"), envelope=envelope()
        )
    assert not OutboxRecord.objects.exists()
