"""A stop from the first bad reply to its release, step by step, each with who and its entry in the log."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta

import msgspec

from controlplane.audit.models import Entry
from controlplane.chat.models import Correction
from controlplane.incidents.lines import Line
from controlplane.stops.models import ListedTurn, Stop

BY_ITSELF = "rule:"  # what stops without a person has such a name
MS = timedelta(milliseconds=1)


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """at: nothing while it has not come. after_ms: since the request."""

    name: str
    at: datetime | None
    who: str = ""
    says: str = ""
    after_ms: float | None = None
    trace_id: str = ""
    entry: int | None = None


def entries_of(stop: Stop, *corrections: Correction) -> list[Entry]:
    subjects = [f"stop:{stop.pk}", *(f"correction:{each.pk}" for each in corrections)]
    return list(Entry.objects.filter(subject__in=subjects).order_by("pk"))


def timeline_of(stop: Stop, first: Line | None, entries: Sequence[Entry]) -> list[Step]:
    """first: the first reply that a filter finds; nothing where nothing says what was bad."""
    by_action = {entry.action: entry for entry in reversed(entries)}
    return [
        _first(first),
        *_ordered(stop, by_action),
        *_proven(stop, by_action),
        *_released(stop, by_action),
    ]


def _first(first: Line | None) -> Step:
    if first is None:
        says = "not known: say below what was bad, by a rule, a phrase, an agent or a backend"
        return Step(name="First bad reply", at=None, says=says)
    return Step(
        name="First bad reply",
        at=first.at,
        who=first.agent,
        says=f"to conversation {first.conversation}",
        trace_id=first.trace_id,
    )


def _ordered(stop: Stop, entries: Mapping[str, Entry]) -> Iterator[Step]:
    by_itself = stop.requested_by.startswith(BY_ITSELF)
    yield Step(
        name="Detected by a rule" if by_itself else "Reported by a person",
        at=stop.requested_at,
        who=stop.requested_by.removeprefix(BY_ITSELF),
        says=stop.reason,
    )
    yield Step(
        name="Ordered",
        at=stop.requested_at,
        who=stop.requested_by,
        says=f"version {stop.control_version} of the control state",
        after_ms=0,
        entry=_entry(entries, "stop_requested"),
    )


def _proven(stop: Stop, entries: Mapping[str, Entry]) -> Iterator[Step]:
    ended = entries.get("stop_ended_deliveries")
    if ended is not None:
        yield Step(
            name="Deliveries ended",
            at=ended.at,
            who=ended.actor,
            says=f"{ended.detail['deliveries']} held up the proof",
            after_ms=(ended.at - stop.requested_at) / MS,
            entry=ended.pk,
        )
    proof = entries.get("stop_proven")
    yield Step(
        name="Proven",
        at=stop.proven_at,
        who=proof.actor if proof else "",
        says=_between(stop) if stop.proven_at else "not yet",
        after_ms=_after(stop, stop.proven_at),
        entry=proof.pk if proof else None,
    )


def _between(stop: Stop) -> str:
    """Which of them a soft stop let through is not asked: what was answered before goes out."""
    if stop.mode == Stop.Mode.SOFT:
        return "every worker in scope starts nothing more"
    count = stop.listed.filter(fate=ListedTurn.Fate.DELIVERED).count()
    went = "1 reply went out" if count == 1 else f"{count} replies went out"
    return f"no delivery of before can commit any more; {went} since the request"


def _released(stop: Stop, entries: Mapping[str, Entry]) -> Iterator[Step]:
    began = entries.get("stop_releasing") or entries.get("stop_released")
    yield Step(
        name="Release ordered",
        at=stop.releasing_at,
        who=stop.released_by,
        says=stop.release_reason or "not yet",
        after_ms=_after(stop, stop.releasing_at),
        entry=began.pk if began else None,
    )
    ended = entries.get("stop_released")
    yield Step(
        name="Released",
        at=stop.released_at,
        who=ended.actor if ended else "",
        says="" if stop.released_at else "not yet",
        after_ms=_after(stop, stop.released_at),
        entry=ended.pk if ended else None,
    )


def _after(stop: Stop, at: datetime | None) -> float | None:
    return (at - stop.requested_at) / MS if at else None


def _entry(entries: Mapping[str, Entry], action: str) -> int | None:
    return entries[action].pk if action in entries else None
