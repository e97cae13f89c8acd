"""GET /api/traces/{trace_id}: the hops, the outcome and the decisions of one trace."""

from datetime import datetime
from uuid import UUID

from ninja import Router, Schema

from controlplane.accounts.models import ApiToken
from controlplane.api.auth import Scoped, TokenRequest
from controlplane.api.document import problems
from controlplane.api.problems import not_found
from controlplane.traces.hops import Hop
from controlplane.traces.story import Story, TurnStory, read_story
from moderation.models import Approval

router = Router(tags=["traces"])
READ = Scoped(ApiToken.Scope.TRACES_READ)


class HopOut(Schema):
    kind: str
    title: str
    at: datetime
    latency_ms: float
    topic: str
    partition: int | None
    offset: int | None
    type: str
    agent: str
    tier: str
    text: str
    marks: list[str]


class TraceDecisionOut(Schema):
    approval_id: UUID
    team: str
    why: str
    state: str
    verdict: str | None = None
    text: str | None = None
    reason: str | None = None
    decided_by: str | None = None
    decided_at: datetime | None = None


class TurnOut(Schema):
    turn_id: str
    conversation_id: str
    number: int
    state: str
    reason: str
    decisions: list[TraceDecisionOut]


class TraceOut(Schema):
    """is_complete: the hops are all that the index has; it is up to a second behind Kafka."""

    trace_id: str
    tier: str
    is_open: bool
    is_complete: bool
    records: int
    turns: list[TurnOut]
    hops: list[HopOut]


@router.get(
    "/{trace_id}",
    response=TraceOut,
    auth=READ,
    summary="Read a trace",
    openapi_extra=problems(404),
)
def read_trace(request: TokenRequest, trace_id: str) -> TraceOut:
    story = read_story(trace_id)
    if story is None:
        raise not_found(
            "No such trace is known. The recorder is up to a second behind."
        )
    return _trace(story)


def _trace(story: Story) -> TraceOut:
    return TraceOut(
        trace_id=story.trace_id,
        tier=story.tier,
        is_open=story.is_open,
        is_complete=story.shown == story.records,
        records=story.records,
        turns=[_turn(turn) for turn in story.turns],
        hops=[_hop(hop) for hop in story.hops],
    )


def _hop(hop: Hop) -> HopOut:
    is_record = hop.kind == "record"
    return HopOut(
        kind=hop.kind,
        title=hop.title,
        at=hop.at,
        latency_ms=hop.latency_ms,
        topic=hop.topic,
        partition=hop.partition if is_record else None,
        offset=hop.offset if is_record else None,
        type=hop.type,
        agent=hop.agent,
        tier=hop.tier,
        text=hop.text,
        marks=[word for _, word in hop.marks],
    )


def _turn(story: TurnStory) -> TurnOut:
    return TurnOut(
        turn_id=story.turn.pk,
        conversation_id=story.turn.conversation_id,
        number=story.turn.number,
        state=story.outcome.state if story.outcome else "open",
        reason=story.outcome.reason if story.outcome else "",
        decisions=[_decision(approval) for approval in story.approvals],
    )


def _decision(approval: Approval) -> TraceDecisionOut:
    out = TraceDecisionOut(
        approval_id=approval.pk,
        team=approval.team,
        why=approval.why,
        state=approval.state,
    )
    if hasattr(approval, "decision"):
        decision = approval.decision
        out.verdict, out.text, out.reason = (
            decision.verdict,
            decision.text,
            decision.reason,
        )
        out.decided_by = decision.decided_by.get_username()
        out.decided_at = decision.decided_at
    return out
