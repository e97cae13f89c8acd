"""Reads records of the chat topics as facts about turns."""

from collections.abc import Sequence
from typing import Any

import msgspec

from agents import topics
from agents.agent import Event
from agents.chat.output_guard import AGENT as OUTPUT_GUARD
from agents.cloudevents import Envelope
from agents.events import (
    BlockedMessage,
    CorrectionCopy,
    DecidedResponse,
    FinalResponse,
    PendingResponse,
    TurnEvent,
    UserMessage,
)
from agents.postgres import plain
from controlplane.chat.turns import Fact, FactKind
from guardrails.verdicts import Verdict, why

_DECIDED: dict[str, FactKind] = {
    topics.RESPONSES_APPROVED: "approved",
    topics.RESPONSES_REJECTED: "rejected",
    topics.RESPONSES_EXPIRED: "expired",
}


def facts_of(events: Sequence[Event[Any]]) -> list[Fact]:
    return [fact_of(event) for event in events]


def fact_of(event: Event[Any]) -> Fact:
    """Return what the record claims. Texts become such as PostgreSQL can keep."""
    data = event.data
    if isinstance(data, UserMessage):
        return _opened(event, data)
    assert isinstance(data, TurnEvent)
    common = _common(event) | {
        "turn_id": data.turn_id,
        "conversation_id": data.conversation_id,
        "tier": data.tier,
    }
    match data:
        case BlockedMessage():
            return Fact(
                kind="reply", text=plain(data.reply), text_kind="refusal", **common
            )
        case FinalResponse():
            return Fact(
                kind="reply",
                text=plain(data.text),
                text_kind=data.kind,
                is_flagged=_is_flagged(event, data.verdict),
                **common,
            )
        case PendingResponse():
            return Fact(
                kind="hold",
                text=plain(data.text),
                team=data.team,
                verdict=msgspec.convert(
                    _cleaned(msgspec.to_builtins(data.verdict)), Verdict
                ),
                reason=plain(why(data.verdict)),
                is_flagged=_is_flagged(event, data.verdict),
                **common,
            )
        case DecidedResponse(correction=CorrectionCopy(correction_id=correction)):
            return Fact(
                kind="correction",
                text=plain(data.text),
                correction_id=plain(correction),
                **common,
            )
        case DecidedResponse():
            return Fact(
                kind=_DECIDED[event.record.topic],
                text=plain(data.text),
                approval_id=data.approval_id,
                reason=plain(data.reason),
                **common,
            )
    raise TypeError(f"{type(data).__name__} says nothing about a turn")


def failed(
    turn_id: str,
    conversation_id: str,
    *,
    record_id: str,
    reason: str,
    approval_id: str = "",
    correction_id: str = "",
) -> Fact:
    return Fact(
        kind="correction_failed" if correction_id else "failed",
        turn_id=turn_id,
        conversation_id=conversation_id,
        record_id=record_id,
        reason=reason,
        approval_id=approval_id,
        correction_id=correction_id,
    )


def _is_flagged(event: Event[Any], verdict: Verdict) -> bool | None:
    """Whether the output guard did not pass a reply as it was. What the input guard holds is no reply."""
    if event.envelope.source != OUTPUT_GUARD.name:
        return None
    return verdict.action not in {"allow", "tag"}


def _cleaned(value: Any) -> Any:
    match value:
        case str():
            return plain(value)
        case dict():
            return {name: _cleaned(inner) for name, inner in value.items()}
        case list() | tuple():
            return [_cleaned(inner) for inner in value]
    return value


def _opened(event: Event[Any], data: UserMessage) -> Fact:
    return Fact(
        kind="opened",
        turn_id=event.id,
        conversation_id=data.conversation_id,
        tier=topics.known_tier(data.tier),
        user=data.user,
        client_id=data.client_id,
        text=plain(data.text),
        **_common(event),
    )


def _common(event: Event[Any]) -> dict[str, Any]:
    envelope: Envelope = event.envelope
    record = event.record
    return {
        "record_id": envelope.id,
        "coordinates": (record.topic, record.partition, record.offset),
        "trace_id": envelope.trace_id,
        "source": envelope.source,
    }
