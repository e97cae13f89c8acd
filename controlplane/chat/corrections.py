"""Writes to corrections: a person writes one, the gate carries each of its copies out."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple
from uuid import UUID, uuid4

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import F, OuterRef, Subquery

from controlplane import locks, written
from controlplane.audit import actions as audit
from controlplane.chat.copies import record_id_of
from controlplane.chat.copies_queue import BATCH, queue_copies
from controlplane.chat.letters import About
from controlplane.chat.models import (
    Conversation,
    Correction,
    CorrectionCopy,
    Message,
)
from controlplane.chat.settle_copies import is_uuid
from controlplane.chat.turns import sha256
from controlplane.clock import database_now

LOCK_MS = 2_000
NAMED = 3  # of those that have not had the answer


class Target(NamedTuple):
    """A conversation that is to be corrected.

    turn_id: whose answer is wrong. seen_turn: the conversation's latest turn that the author saw.
    """

    conversation_id: str
    turn_id: str
    seen_turn: int


class InvalidCorrectionError(Exception):
    """The correction cannot be sent in this form; field names what is to be put right."""

    field = ""


class TextError(InvalidCorrectionError):
    """The text cannot be sent."""

    field = "text"


class ReasonError(InvalidCorrectionError):
    """The reason is missing, or too long."""

    field = "reason"


class TargetError(InvalidCorrectionError):
    """There is nobody to correct, or somebody whom no answer has reached."""

    field = "targets"


class AlreadySentError(InvalidCorrectionError):
    """Another text was sent as this correction before."""

    field = "text"


def send_correction(  # noqa: PLR0913 - what a person sends, field by field
    *,
    text: str,
    targets: Sequence[Target],
    author: User,
    reason: str,
    stop_id: UUID | None = None,
    correction_id: UUID | None = None,
    overridden: Sequence[str] = (),
) -> Correction:
    """Write a correction down, and begin to send it; a conversation gets it once.

    Whether rules let the text pass is for the caller to ask, before; overridden: those that do not,
    for the log. correction_id: of the form that is
    sent, so that pressing twice is one correction. Not inside a transaction: what is not sent when
    this returns, the next wake-up sends. InvalidCorrectionError if it cannot be sent so.
    """
    correction = Correction(
        id=correction_id or uuid4(),
        stop_id=stop_id,
        text=_clean_text(text),
        reason=_clean_reason(reason),
        written_by=author.get_username(),
    )
    correction.text_sha256 = sha256(correction.text)
    kept = _keep(correction, targets, overridden)
    queue_copies()
    return kept


def confirm_copies(
    correction: Correction, copies: Iterable[CorrectionCopy], *, confirmer: User
) -> int:
    """Send them again, though their conversations have moved on; return how many.

    For those that were refused, or that Kafka has lost. What was delivered stays so, and is not
    told twice. LockTimeoutError if a conversation stays locked: some may
    then be on their way. Not inside a transaction.
    """
    chosen = sorted(copies, key=lambda copy: copy.conversation_id)
    confirmed = 0
    for start in range(0, len(chosen), BATCH):
        some = chosen[start : start + BATCH]
        confirmed += _confirm(correction, some, confirmer)
    queue_copies()
    return confirmed


def reopen_copy(letter: About, *, actor: User, because: str) -> None:
    """Owe the copy again that a dead letter is about, so that its record may still be carried out.

    Locks its conversation, as the gate does. The gate checks it anew.
    """
    copy = _refused_with(letter)
    if copy is None:
        return
    Conversation.objects.select_for_update().get(pk=copy.conversation_id)
    copy.refresh_from_db()
    if copy.state != CorrectionCopy.State.REFUSED:
        return
    copy.state, copy.why, copy.changed_at = copy.State.OWED, "", database_now()
    copy.save(update_fields=["state", "why", "changed_at"])
    audit.record(
        actor,
        "correction_reopened",
        f"turn:{copy.turn_id}",
        trace_id=copy.turn.trace_id,
        detail={"because": because, "correction": str(copy.correction_id)},
    )


# Checks


def _clean_text(text: str) -> str:
    text = written.normalise(text)
    if problem := written.problem_of_text(text):
        raise TextError(problem)
    return text


def _clean_reason(reason: str) -> str:
    reason = written.lines(reason).strip()
    if problem := written.problem_of_reason(reason):
        raise ReasonError(problem)
    return reason


def _one_for_each(targets: Sequence[Target]) -> list[Target]:
    """Return one target for each conversation, about the latest of its answers. TargetError."""
    numbers = _reached_turns(targets)
    unreached = [each for each in targets if each[:2] not in numbers]
    if unreached:
        names = ", ".join(each.conversation_id for each in unreached[:NAMED])
        raise TargetError(f"The answer has not reached {len(unreached)}: {names}.")
    chosen: dict[str, Target] = {}
    for each in sorted(targets, key=lambda target: numbers[target[:2]]):
        seen = chosen.get(each.conversation_id, each).seen_turn
        least = min(seen, each.seen_turn)
        chosen[each.conversation_id] = each._replace(seen_turn=least)
    if not chosen:
        raise TargetError("There is nobody to correct.")
    return sorted(chosen.values())


def _reached_turns(targets: Sequence[Target]) -> dict[tuple[str, str], int]:
    """Return the numbers of turns whose answer is in the transcript, by conversation and id."""
    lines = Message.objects.filter(
        turn__in={each.turn_id for each in targets},
        role=Message.Role.ASSISTANT,
        copy=None,
    )
    found = lines.values_list("conversation_id", "turn_id", "turn__number")
    return {(conversation, turn): number for conversation, turn, number in found}


# Writing


@transaction.atomic
def _keep(
    correction: Correction, targets: Sequence[Target], overridden: Sequence[str]
) -> Correction:
    """Write it and its copies down; the same one again is that which is there."""
    now = correction.written_at = database_now()
    fields = {
        name: getattr(correction, name)
        for name in (
            "stop_id",
            "text",
            "text_sha256",
            "reason",
            "written_by",
            "written_at",
        )
    }
    kept, is_new = Correction.objects.get_or_create(pk=correction.pk, defaults=fields)
    if not is_new and kept.text_sha256 != correction.text_sha256:
        raise AlreadySentError("Another text was sent from this form. Begin a new one.")
    if is_new:
        chosen = _one_for_each(targets)
        CorrectionCopy.objects.bulk_create(
            (
                CorrectionCopy(correction=kept, asked_at=now, **each._asdict())
                for each in chosen
            ),
            batch_size=1_000,
        )
        noted = {"overridden": ", ".join(overridden)} if overridden else {}
        _log("correction_written", kept, kept.written_by, copies=len(chosen), **noted)
    return kept


def _confirm(
    correction: Correction, copies: Sequence[CorrectionCopy], confirmer: User
) -> int:
    with locks.atomic(lock_timeout_ms=LOCK_MS):
        names = [copy.conversation_id for copy in copies]
        locked = Conversation.objects.select_for_update().filter(pk__in=names)
        list(locked.order_by("pk"))
        now = database_now()
        latest = Conversation.objects.filter(pk=OuterRef("conversation_id"))
        confirmed = (
            CorrectionCopy.objects.filter(
                correction=correction, pk__in=[copy.pk for copy in copies]
            )
            .exclude(state=CorrectionCopy.State.DELIVERED)
            .update(
                state=CorrectionCopy.State.OWED,
                confirmed=True,
                seen_turn=Subquery(latest.values("latest_turn")),
                asked_at=now,
                tries=F("tries") + 1,
                queued_at=None,
                why="",
                changed_at=now,
            )
        )
        if confirmed:
            _log("correction_confirmed", correction, confirmer, copies=confirmed)
    return confirmed


def _log(
    action: str, correction: Correction, actor: User | str, *, copies: int, **noted: str
) -> None:
    detail = {
        "copies": copies,
        "sha256": correction.text_sha256,
        "reason": correction.reason,
        **noted,
    }
    if correction.stop_id:
        detail["stop"] = str(correction.stop_id)
    audit.record(actor, action, f"correction:{correction.pk}", detail=detail)


def _refused_with(letter: About) -> CorrectionCopy | None:
    """Return the refused copy whose present try the letter is about."""
    if not is_uuid(letter.correction_id):
        return None
    refused = CorrectionCopy.objects.select_related("turn").filter(
        correction=UUID(letter.correction_id),
        turn=letter.turn_id,
        state=CorrectionCopy.State.REFUSED,
    )
    for copy in refused:
        own = record_id_of(str(copy.correction_id), copy.conversation_id, copy.tries)
        if own == letter.record_id:
            return copy
    return None
