"""/api/approvals: held answers, and deciding on one."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from django.contrib.auth.models import User
from django.db.models import Q
from ninja import Query, Router, Schema, Status

from controlplane.accounts.access import write_down_refusal
from controlplane.accounts.models import ApiToken
from controlplane.api import cursors
from controlplane.api.auth import Scoped, TokenRequest
from controlplane.api.document import problems
from controlplane.api.idempotency import Keep, Key, Once
from controlplane.api.problems import Problem, not_found
from moderation import actions
from moderation.models import Approval, Decision

router = Router(tags=["approvals"])
READ = Scoped(ApiToken.Scope.APPROVALS_READ)
DECIDE = Scoped(ApiToken.Scope.APPROVALS_DECIDE)
State = Literal["pending", "approved", "rejected", "expired"]


class ApprovalOut(Schema):
    """fingerprint: what a decision on this state of affairs has to carry."""

    id: UUID
    team: str
    state: str
    turn_id: str
    trace_id: str
    conversation_id: str
    tier: str
    text: str
    text_sha256: str
    why: str
    verdict: dict[str, Any]
    fingerprint: str
    created_at: datetime
    deadline_at: datetime


class ApprovalsOut(Schema):
    """next: the cursor of what follows, or null at the end."""

    items: list[ApprovalOut]
    next: str | None


class DecisionIn(Schema):
    verdict: Literal["approve", "edit", "reject"]
    fingerprint: str
    text: str = ""
    reason: str = ""


class DecisionOut(Schema):
    approval_id: UUID
    verdict: str
    text_sha256: str
    decided_by: str
    decided_at: datetime


@router.get(
    "",
    response=ApprovalsOut,
    auth=READ,
    summary="List held answers",
    openapi_extra=problems(422),
)
def list_approvals(
    request: TokenRequest,
    state: State = "pending",
    team: Annotated[str, Query(pattern=r"^[^\x00]*$")] = "",
    cursor: str = "",
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> ApprovalsOut:
    """Nearest deadline first, of the teams that the token's user may see."""
    visible = Approval.objects.for_user(request.auth.user).of_team(team)
    approvals = visible.with_conversation().filter(state=state)
    if cursor:
        at, key = cursors.decode(cursor)
        approvals = approvals.filter(
            Q(deadline_at__gt=at) | Q(deadline_at=at, pk__gt=key)
        )
    found = list(approvals.most_urgent_first()[: limit + 1])
    page, has_more = found[:limit], len(found) > limit
    following = cursors.encode(page[-1].deadline_at, page[-1].pk) if has_more else None
    return ApprovalsOut(items=[_approval(one) for one in page], next=following)


@router.post(
    "/{uuid:approval_id}/decision",
    response=DecisionOut,
    auth=DECIDE,
    summary="Decide on a held answer",
    openapi_extra=problems(400, 404, 409, 413, 422),
)
def decide(
    request: TokenRequest, approval_id: UUID, body: DecisionIn, key: Key = ""
) -> Status[DecisionOut]:
    """Takes effect at once. 409 says who was first, or what is new in the conversation."""
    user = request.auth.user
    try:
        return Once(request, key, body).answer(
            lambda keep: _decide(approval_id, body, user, keep)
        )
    except actions.OtherTeamError as error:
        write_down_refusal(request, user, error.needs)
        raise Problem(403, str(error), code="team") from error


def _decide(
    approval_id: UUID, body: DecisionIn, moderator: User, keep: Keep
) -> Status[DecisionOut]:
    try:
        decision = actions.decide(
            approval_id,
            verdict=Decision.Verdict(body.verdict),
            text=body.text,
            reason=body.reason,
            fingerprint=body.fingerprint,
            moderator=moderator,
            also=lambda made: keep(Status(200, _decision(made))),
        )
    except Approval.DoesNotExist:
        raise not_found("There is no such approval.") from None
    except actions.AlreadyDecidedError as error:
        raise _already_decided(error) from error
    except actions.StaleFingerprintError as error:
        raise _stale(error) from error
    except actions.BusyError as error:
        retry = {"Retry-After": "1"}
        raise Problem(503, str(error), code="busy", headers=retry) from error
    except actions.InvalidDecisionError as error:
        problem = {"at": f"body.{error.field}", "message": str(error)}
        raise Problem(422, str(error), errors=[problem]) from error
    return Status(200, _decision(decision))


def _already_decided(error: actions.AlreadyDecidedError) -> Problem:
    winner = _decision(error.decision).dict() if error.decision else None
    if winner is None:
        return Problem(
            409, "The deadline decided first.", code="already_decided", winner=None
        )
    detail = f"{winner['decided_by']} decided first."
    return Problem(409, detail, code="already_decided", winner=winner)


def _stale(error: actions.StaleFingerprintError) -> Problem:
    new = [
        {"number": turn.number, "text": turn.text, "at": turn.created_at.isoformat()}
        for turn in error.turns
    ]
    return Problem(
        409,
        "The conversation has gone on. Read what is new and decide with the new fingerprint.",
        code="stale_fingerprint",
        fingerprint=error.fingerprint,
        new=new,
    )


def _approval(approval: Approval) -> ApprovalOut:
    turn = approval.turn
    return ApprovalOut(
        id=approval.pk,
        team=approval.team,
        state=approval.state,
        turn_id=turn.pk,
        trace_id=turn.trace_id,
        conversation_id=turn.conversation_id,
        tier=turn.effective_tier,
        text=approval.text,
        text_sha256=approval.text_sha256,
        why=approval.why,
        verdict=approval.verdict,
        fingerprint=approval.fingerprint,
        created_at=approval.created_at,
        deadline_at=approval.deadline_at,
    )


def _decision(decision: Decision) -> DecisionOut:
    return DecisionOut(
        approval_id=decision.approval_id,
        verdict=decision.verdict,
        text_sha256=decision.text_sha256,
        decided_by=decision.decided_by.get_username(),
        decided_at=decision.decided_at,
    )
