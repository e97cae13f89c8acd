"""Writes of a backup and of a restore, which has the database for itself: no worker runs."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from uuid import UUID

from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import F

from agents import topics
from agents.events import ControlChange, DecidedResponse
from agents.records import Partition
from controlplane.audit import actions as audit
from controlplane.backups.models import Position
from controlplane.chat.models import Conversation, Turn
from controlplane.chat.turns import sha256
from controlplane.runtime.actions import change_control
from controlplane.runtime.models import ControlVersion
from controlplane.stops.models import Stop
from moderation.models import Approval, Decision

RESTORE = "restore"  # the actor of what is taken over from Kafka
# More than a conversation can have got since a backup. An integer has room for 2,000 of them.
SEQ_GAP = 1_000_000

_STATES = {
    topics.RESPONSES_APPROVED: Approval.State.APPROVED,
    topics.RESPONSES_REJECTED: Approval.State.REJECTED,
}


@transaction.atomic
def note_positions(positions: Mapping[Partition, int]) -> None:
    """Have the backup that follows say how far it had come. Nothing: a restore reads all."""
    Position.objects.all().delete()
    Position.objects.bulk_create(
        Position(topic=topic, partition=number, next_offset=offset)
        for (topic, number), offset in positions.items()
    )


@transaction.atomic
def record_backup(file: str, *, size: int, sha256: str, actor: str) -> None:
    detail = {"bytes": size, "sha256": sha256}
    audit.record(actor, "database_backed_up", f"file:{file}"[:200], detail=detail)


@transaction.atomic
def record_restore(
    file: str, *, detail: dict[str, str], version: int, actor: str
) -> None:
    """Say that the database was restored, under a version that no process has seen."""
    ControlVersion.objects.filter(pk=1, version__lt=version).update(version=version)
    change_control(
        kind="database_restored",
        subject="database",
        actor=actor,
        reason=f"restored from {file}",
        detail=detail,
    )


@transaction.atomic
def take_over_decision(
    data: DecidedResponse, *, topic: str, at: datetime, trace_id: str
) -> str | None:
    """Decide as Kafka says that a person did after the backup; return the approval's id.

    None if there is nothing to decide: no such approval is pending here.
    """
    approval = _pending(data)
    if approval is None:
        return None
    approval.state = _STATES[topic]
    approval.save(update_fields=["state"])
    decision = Decision.objects.create(
        approval=approval,
        verdict=_verdict(approval, data),
        text=data.text,
        text_sha256=sha256(data.text),
        reason=data.reason or "Taken over from Kafka.",
        decided_by=_person(data.decided_by),
        decided_at=at,
    )
    audit.record(
        RESTORE,
        "decision_taken_over",
        f"approval:{approval.pk}",
        trace_id=trace_id,
        detail={
            "verdict": decision.verdict,
            "decided_by": data.decided_by,
            "sent_sha256": decision.text_sha256,
        },
    )
    return str(approval.pk)


def _pending(data: DecidedResponse) -> Approval | None:
    """Return the approval by its id or, if it was made after the backup, by its turn."""
    known = (
        Approval.objects.filter(pk=data.approval_id).first()
        if _is_uuid(data.approval_id)
        else None
    )
    if known is None:
        return Approval.objects.pending().filter(turn=data.turn_id).first()
    is_its_own = known.turn_id == data.turn_id
    return known if known.is_pending and is_its_own else None


def _verdict(approval: Approval, data: DecidedResponse) -> Decision.Verdict:
    if approval.state == Approval.State.REJECTED:
        return Decision.Verdict.REJECT
    is_same = sha256(data.text) == approval.text_sha256
    return Decision.Verdict.APPROVE if is_same else Decision.Verdict.EDIT


@transaction.atomic
def take_over_stop(change: ControlChange, *, at: datetime) -> bool:
    """Put a stop in force, or release it, as was done after the backup; say whether it is one."""
    what, _, number = change.subject.partition(":")
    if what != "stop" or not _is_uuid(number):
        return False
    if change.kind == "stop_requested":
        Stop.objects.get_or_create(
            pk=number,
            defaults={
                "mode": change.detail["mode"],
                "scope": change.detail["scope"],
                "value": change.detail["value"],
                "reason": change.reason,
                "requested_by": change.actor,
                "requested_at": at,
            },
        )
    else:
        _take_over_release(number, change, at)
    audit.record(RESTORE, f"{change.kind}_taken_over"[:64], change.subject)
    return True


def _take_over_release(stop: str, change: ControlChange, at: datetime) -> None:
    Stop.objects.in_force().filter(pk=stop).update(
        releasing_at=at,
        released_by=change.actor,
        release_reason=change.reason,
        ramp_per_s=change.detail.get("ramp_per_s"),
    )
    if change.kind == "stop_released":
        Stop.objects.releasing().filter(pk=stop).update(released_at=at)


@transaction.atomic
def mark_wanting_a_person(turns: Iterable[str]) -> int:
    """Only who took the message in knew it: records open turns without it."""
    return Turn.objects.filter(pk__in=list(turns)).update(wants_person=True)


@transaction.atomic
def skip_seqs(conversations: Iterable[str] | None) -> int:
    """Have what comes now stand after every line that anybody can have seen; None: in all."""
    chosen = Conversation.objects.all()
    if conversations is not None:
        chosen = chosen.filter(pk__in=list(conversations))
    return chosen.update(latest_seq=F("latest_seq") + SEQ_GAP)


def _person(name: str) -> User:
    """Return the account, or one that cannot sign in: the backup may be older than theirs."""
    user, _ = User.objects.get_or_create(
        username=name[:150],
        defaults={"is_active": False, "password": make_password(None)},
    )
    return user


def _is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True
