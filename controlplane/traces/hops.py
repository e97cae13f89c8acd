"""A trace as a row of hops: its records, what people decided and what the gate did, in time."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from graphlib import CycleError, TopologicalSorter
from typing import Literal

import msgspec

from agents.topics import ALL_PENDING, DEAD_LETTERS, TRAINING_FEEDBACK
from controlplane.chat.copies import SOURCE
from controlplane.chat.models import CorrectionCopy, Message, Turn
from controlplane.deadletters.models import Letter
from controlplane.traces.diff import Piece, word_diff
from controlplane.traces.models import TraceRecord
from moderation.models import Approval, Decision

Kind = Literal["record", "decision", "delivery"]


class Hop(msgspec.Struct, kw_only=True):
    """latency_ms is the time since the hop before; waited: it was spent waiting for a person."""

    kind: Kind
    title: str
    at: datetime
    topic: str = ""
    partition: int = 0
    offset: int = 0
    type: str = ""
    agent: str = ""
    tier: str = ""
    text: str = ""
    marks: list[tuple[str, str]] = []  # (state, word)
    diff: list[Piece] = []
    note: str = ""
    latency_ms: float = 0.0
    waited: bool = False
    is_after: bool = False  # the turn was over: it counts in no time
    start: float = 0.0  # of the bar, in percent of the whole trace
    width: float = 0.0

    @property
    def coordinates(self) -> str:
        return f"{self.topic}/{self.partition}@{self.offset}" if self.topic else ""


def hops_of(
    records: Sequence[TraceRecord],
    turns: Iterable[Turn],
    letters: Iterable[Letter] = (),
) -> list[Hop]:
    """letters: dead letters of the trace that people have decided on."""
    turns = list(turns)
    duplicates = {
        (twin.topic, twin.partition, twin.offset): twin.outcome_state
        for turn in turns
        for twin in turn.duplicates.all()
    }
    hops = [
        *_records(in_causal_order(records), duplicates),
        *(_decision(*pair) for turn in turns for pair in _decisions(turn)),
        *(_letter(letter) for letter in letters),
        *(_correction(copy) for turn in turns for copy in turn.corrections.all()),
        *(
            _delivery(line)
            for turn in turns
            for line in turn.messages.all()
            if _is_reply(line)
        ),
    ]
    hops.sort(key=lambda hop: hop.at)  # stable: records keep their order
    return _timed(hops)


def in_causal_order(records: Iterable[TraceRecord]) -> list[TraceRecord]:
    """Kafka's time has milliseconds; within one, a cause goes before what it caused."""
    records = list(records)
    parents = {record.event_id: record.parents for record in records}
    try:
        order = list(TopologicalSorter(parents).static_order())
    except CycleError:  # whoever wrote such headers gets the order of the topics' names
        order = []
    rank = {event_id: place for place, event_id in enumerate(order)}
    # A dead letter carries the headers of the record that it is about.
    return sorted(
        records,
        key=lambda r: (r.at, rank.get(r.event_id, 0), r.topic == DEAD_LETTERS),
    )


def _records(
    records: Iterable[TraceRecord], duplicates: dict[tuple[str, int, int], str]
) -> Iterable[Hop]:
    seen: set[tuple[str, str]] = set()
    for record in records:
        marks = []
        outcome = duplicates.get((record.topic, record.partition, record.offset))
        if outcome:
            marks.append(("soft", f"duplicate, the turn was {outcome}"))
        if (record.topic, record.event_id) in seen:
            marks.append(("plain", "the same record again"))
        seen.add((record.topic, record.event_id))
        if record.topic == DEAD_LETTERS:
            marks.append(("stop", "dead letter"))
        elif record.topic in ALL_PENDING:
            marks.append(("hold", "held"))
        yield Hop(
            kind="record",
            title=record.topic,
            at=record.at,
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            type=record.type,
            agent=record.agent,
            tier=record.tier,
            text=record.text,
            marks=marks,
            is_after=record.topic == TRAINING_FEEDBACK or record.agent == SOURCE,
        )


def _decisions(turn: Turn) -> list[tuple[Approval, Decision]]:
    approvals = turn.approvals.all()
    return [(one, one.decision) for one in approvals if hasattr(one, "decision")]


def _decision(approval: Approval, decision: Decision) -> Hop:
    word = {"approve": "approved", "edit": "edited", "reject": "rejected"}[
        decision.verdict
    ]
    state = "stop" if decision.verdict == Decision.Verdict.REJECT else "go"
    is_edit = decision.verdict == Decision.Verdict.EDIT
    return Hop(
        kind="decision",
        title=f"{decision.decided_by.get_username()} decided",
        at=decision.decided_at,
        agent=f"for {approval.team}",
        text="" if is_edit else decision.text,
        marks=[(state, word)],
        diff=word_diff(approval.text, decision.text) if is_edit else [],
        note=decision.reason,
        waited=True,
    )


def _letter(letter: Letter) -> Hop:
    assert letter.decided_by is not None
    assert letter.decided_at is not None
    is_redriven = letter.state == Letter.State.REDRIVEN
    return Hop(
        kind="decision",
        title=f"{letter.decided_by.get_username()} decided on the dead letter",
        at=letter.decided_at,
        agent=f"of {letter.agent}",
        marks=[("work" if is_redriven else "plain", letter.state)],
        note=letter.decided_why,
        waited=True,
    )


def _correction(copy: CorrectionCopy) -> Hop:
    """Return what a person asked for when the turn was over, and what has become of it."""
    written = copy.correction
    state = {"delivered": "go", "refused": "stop"}.get(copy.state, "hold")
    return Hop(
        kind="decision",
        title=f"{written.written_by} wrote a correction",
        at=written.written_at,
        text=written.text,
        marks=[(state, copy.state)],
        note=f"{written.reason} {copy.why}".strip(),
        is_after=True,
    )


def _is_reply(line: Message) -> bool:
    return line.role == Message.Role.ASSISTANT


def _delivery(line: Message) -> Hop:
    is_correction = line.copy_id is not None
    is_read = line.reviewed and not is_correction
    what = "correction delivered" if is_correction else "delivered"
    return Hop(
        kind="delivery",
        title=f"{what} as message {line.seq}",
        at=line.delivered_at,
        agent="gate",
        text=line.text,
        marks=[("go", "delivered")],
        note="A person has read it before." if is_read else "",
        is_after=is_correction,
    )


def _timed(hops: list[Hop]) -> list[Hop]:
    """Give each hop its latency, and its bar: from the hop before it to itself."""
    if not hops:
        return hops
    start = hops[0].at
    end = max((hop.at for hop in hops if not hop.is_after), default=hops[-1].at)
    span_s = (end - start).total_seconds() or 1.0
    before = start
    for hop in hops:
        hop.latency_ms = (hop.at - before).total_seconds() * 1000
        hop.start = (before - start).total_seconds() / span_s * 100
        hop.width = max(0.6, hop.latency_ms / 1000 / span_s * 100)
        if hop.is_after:
            hop.width = 0.6
        hop.start = min(hop.start, 100 - hop.width)
        before = hop.at
    return hops
