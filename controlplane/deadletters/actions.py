"""Every write to dead letters that the recorder does not do: redriving and discarding."""

import msgspec
from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone

from agents import topics
from agents.cloudevents import Headers
from agents.work import REDRIVE, open_letter
from controlplane.audit import actions as audit
from controlplane.chat.actions import reopen_turns
from controlplane.chat.letters import About, about
from controlplane.chat.turns import buried
from controlplane.deadletters.models import Letter
from controlplane.runtime.actions import enqueue_bytes
from controlplane.traces import actions as traces
from controlplane.traces.models import TracePayload
from moderation.models import Approval

DECIDE = "deadletters.decide_letter"
NO_REASON = "Say why it can be discarded."
# What Kafka adds to a record and to each of its headers, at most.
RECORD_OVERHEAD = 100
HEADER_OVERHEAD = 10


class LetterError(Exception):
    """A letter that cannot be decided on so; the text says why."""


class AlreadyDecidedError(LetterError):
    """Somebody was first."""

    def __init__(self, letter: Letter) -> None:
        assert letter.decided_by is not None
        assert letter.decided_at is not None
        super().__init__(
            f"{letter.decided_by.get_username()} has {letter.state} it "
            f"at {letter.decided_at:%H:%M:%S} UTC on {letter.decided_at:%-d %b %Y}."
        )
        self.letter = letter


class RefusedError(LetterError):
    """It cannot be sent again, or there is no reason."""


class Original(msgspec.Struct, frozen=True, kw_only=True):
    """The record in a letter, as its topic had it."""

    topic: str
    key: bytes | None
    value: bytes
    headers: Headers


@transaction.atomic
def redrive(letter_id: int, *, by: User, reason: str = "") -> Letter:
    """Send the record in a letter to its topic again, once, whoever asks.

    LetterError if somebody was first or if it cannot be sent.
    """
    letter = _take(letter_id)
    payload = _payload_of(letter)
    headers = traces.headers_of(payload)
    original = _original(letter, payload, headers)
    of_turn = about(headers, original.value)
    _check_decision(of_turn)
    turns = reopen_turns(of_turn, actor=by, because=f"redrive of {letter}")
    letter.sent = enqueue_bytes(
        original.topic,
        key=original.key,
        value=original.value,
        headers=[*original.headers, (REDRIVE, str(letter).encode())],
    )
    _decide(letter, Letter.State.REDRIVEN, by, reason)
    _log("letter_redriven", letter, by, {"reopened": turns})
    return letter


@transaction.atomic
def discard(letter_id: int, *, by: User, reason: str) -> Letter:
    """Say that a letter needs nothing more. It stays readable as long as its record is kept."""
    if not reason.strip():
        raise RefusedError(NO_REASON)
    letter = _take(letter_id)
    _decide(letter, Letter.State.DISCARDED, by, reason)
    _log("letter_discarded", letter, by, {})
    return letter


def _take(letter_id: int) -> Letter:
    """Lock an open letter: of two who decide at once, the second finds what the first did."""
    letter = Letter.objects.select_for_update().get(pk=letter_id)
    if not letter.is_open:
        raise AlreadyDecidedError(letter)
    return letter


def _payload_of(letter: Letter) -> TracePayload:
    found = TracePayload.objects.filter(
        topic=topics.DEAD_LETTERS,
        partition=letter.partition,
        offset=letter.offset,
        at=letter.at,
    ).first()
    if found is None:
        raise RefusedError("Its bytes are no longer kept, so there is nothing to send.")
    return found


def _original(letter: Letter, payload: TracePayload, headers: Headers) -> Original:
    own, _ = open_letter(headers)
    original = Original(
        topic=letter.topic,
        key=None if payload.key is None else bytes(payload.key),
        value=bytes(payload.value),
        headers=[(name, value) for name, value in own if name != REDRIVE],
    )
    _check(letter, original)
    return original


def _check(letter: Letter, original: Original) -> None:
    topic = topics.TOPICS.get(letter.topic)
    if not letter.topic:
        raise RefusedError("The letter does not say which topic its record came from.")
    if topic is None or topic.name == topics.DEAD_LETTERS:
        raise RefusedError(f"{letter.topic} is no topic that records are sent to.")
    size = _size(original)
    if size > topic.max_bytes:
        raise RefusedError(
            f"It would be {size:,} bytes; {topic.name} takes {topic.max_bytes:,}."
        )


def _check_decision(letter: About | None) -> None:
    """The gate no longer carries out a decision about which people were asked again."""
    if letter is None or not letter.approval_id:
        return
    again = Approval.objects.filter(
        turn=letter.turn_id, record_id=buried(letter.record_id)
    )
    if again.exists():
        raise RefusedError(
            "People were asked again about this decision: decide on it in the queue."
        )


def _size(record: Original) -> int:
    headers = [*record.headers, (REDRIVE, b"agents.dlq/000@0000000000")]
    return (
        RECORD_OVERHEAD
        + len(record.key or b"")
        + len(record.value)
        + sum(len(name.encode()) + len(v) + HEADER_OVERHEAD for name, v in headers)
    )


def _decide(letter: Letter, state: Letter.State, by: User, reason: str) -> None:
    letter.state = state
    letter.decided_by, letter.decided_at = by, timezone.now()
    letter.decided_why = reason.strip()
    letter.save(
        update_fields=["state", "decided_by", "decided_at", "decided_why", "sent"]
    )


def _log(action: str, letter: Letter, by: User, more: dict[str, list[str]]) -> None:
    detail = {
        "agent": letter.agent,
        "record": letter.origin,
        "failed_with": letter.reason[:500],
        "reason": letter.decided_why,
    }
    audit.record(
        by, action, f"letter:{letter}", trace_id=letter.trace_id, detail=detail | more
    )
