"""Takes over corrections that people wrote or confirmed after a backup: Kafka is the only witness."""

from datetime import UTC
from uuid import UUID

from django.db import transaction

from agents.agent import Event
from agents.events import CorrectionCopy as CopyEvent
from agents.events import DecidedResponse
from agents.work import REDRIVE
from controlplane.audit import actions as audit
from controlplane.backups.actions import RESTORE
from controlplane.chat.copies import record_id_of
from controlplane.chat.models import Correction, CorrectionCopy, Turn
from controlplane.chat.settle_copies import is_uuid
from controlplane.chat.turns import sha256

MOST_TRIES = 100  # that one copy can have had since a backup

NAME_MAX_CHARS = 150

State = CorrectionCopy.State


@transaction.atomic
def take_over_correction(event: "Event[DecidedResponse]") -> bool:
    """Ask for the copy as a person did after the backup; say whether that was not known here.

    What the gate then does with the record is by its own rules, as it was before.
    """
    data, told = event.data, event.data.correction
    assert told is not None
    turn = Turn.objects.filter(pk=data.turn_id, conversation=data.conversation_id)
    if not is_uuid(told.correction_id) or not turn.exists():
        return False
    known = CorrectionCopy.objects.filter(
        correction=UUID(told.correction_id), conversation=data.conversation_id
    ).first()
    tries = _tries(known.tries if known else 0, event)
    if tries is None or (known and known.state == State.DELIVERED):
        return False
    copy = known or CorrectionCopy(
        correction=_correction(data, told),
        conversation_id=data.conversation_id,
        turn_id=data.turn_id,
    )
    _ask(copy, told, tries)
    audit.record(
        RESTORE,
        "correction_taken_over",
        f"turn:{copy.turn_id}",
        trace_id=event.envelope.trace_id,
        detail={"correction": told.correction_id, "sent_sha256": sha256(data.text)},
    )
    return True


def _tries(known: int, event: "Event[DecidedResponse]") -> int | None:
    """Return which try the record is of, if the backup had not seen that one carried out."""
    data, told = event.data, event.data.correction
    assert told is not None
    is_again = any(name == REDRIVE for name, _ in event.record.headers)
    first = known if is_again and known else known + 1
    for tries in range(first, first + MOST_TRIES):
        own = record_id_of(told.correction_id, data.conversation_id, tries)
        if own == event.envelope.id:
            return tries
    return None


def _correction(data: DecidedResponse, told: CopyEvent) -> Correction:
    correction, _ = Correction.objects.get_or_create(
        pk=UUID(told.correction_id),
        defaults={
            "stop_id": UUID(told.stop_id) if is_uuid(told.stop_id) else None,
            "text": data.text,
            "text_sha256": sha256(data.text),
            "reason": data.reason or "Taken over from Kafka.",
            "written_by": data.decided_by[:NAME_MAX_CHARS],
            "written_at": told.asked_at.astimezone(UTC),
        },
    )
    return correction


def _ask(copy: CorrectionCopy, told: CopyEvent, tries: int) -> None:
    copy.tries, copy.state, copy.why = tries, State.OWED, ""
    copy.seen_turn, copy.confirmed = told.seen_turn, told.confirmed
    copy.asked_at = copy.queued_at = told.asked_at.astimezone(UTC)
    copy.save()
