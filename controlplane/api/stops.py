"""/api/stops: engaging emergency stops, their proof, and releasing them."""

from datetime import datetime, timedelta
from typing import Annotated, Literal
from uuid import UUID

import structlog
from django.contrib.auth.models import User
from django.db import InterfaceError, OperationalError, transaction
from django.db.models import Q
from ninja import Field, Query, Router, Schema, Status

from controlplane.accounts.models import ApiToken
from controlplane.api import cursors
from controlplane.api.auth import Scoped, TokenRequest
from controlplane.api.document import problems
from controlplane.api.idempotency import Keep, Key, Once
from controlplane.api.problems import Problem, not_found
from controlplane.stops import actions, targets
from controlplane.stops.models import Stop
from controlplane.stops.ramp import MAX_PER_S, MIN_PER_S, RAMP_PER_S

log = structlog.get_logger()

router = Router(tags=["stops"])
READ = Scoped(ApiToken.Scope.STOPS_READ)
WRITE = Scoped(ApiToken.Scope.STOPS_WRITE)
RELEASE = Scoped(ApiToken.Scope.STOPS_RELEASE)

Reason = Annotated[str, Field(max_length=2_000, pattern=r"^[^\x00]*[^\x00\s][^\x00]*$")]


_IN_STATE = {
    "in_force": Stop.objects.in_force,
    "releasing": Stop.objects.releasing,
    "released": Stop.objects.released,
    "all": Stop.objects.all,
}


class StopOut(Schema):
    """state: requested (in force, and what was under way may still go on), proven, releasing, or released.

    releasing: a soft stop was let go, and its agents start ramp_per_s records a second each, at
    most, until nothing waits for that any more. releasing_at: when it was let go.
    proof_ms: from the request to the proof. A hard stop is proven when no delivery of before can
    commit any more, a soft one when every worker in its scope obeys it or has fallen silent.
    """

    id: UUID
    mode: str
    scope: str
    value: str
    reason: str
    state: Literal["requested", "proven", "releasing", "released"]
    requested_by: str
    requested_at: datetime
    proven_at: datetime | None
    proof_ms: int | None
    released_by: str | None
    releasing_at: datetime | None
    ramp_per_s: float | None
    released_at: datetime | None
    release_reason: str


class StopsOut(Schema):
    """next: the cursor of what follows, or null at the end."""

    items: list[StopOut]
    next: str | None


class StopIn(Schema):
    """value: the workflow, agent, tier or conversation; empty for everything."""

    mode: Literal["soft", "hard"]
    scope: Literal["everything", "workflow", "agent", "tier", "conversation"]
    value: str = ""
    reason: Reason


class ReleaseIn(Schema):
    """ramp_per_s: of a soft stop, or null to let all that waits start at once."""

    reason: Reason
    ramp_per_s: Annotated[float, Field(ge=MIN_PER_S, le=MAX_PER_S)] | None = RAMP_PER_S


@router.get(
    "",
    response=StopsOut,
    auth=READ,
    summary="List stops",
    openapi_extra=problems(422),
)
def list_stops(
    request: TokenRequest,
    state: Literal["in_force", "releasing", "released", "all"] = "in_force",
    cursor: str = "",
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> StopsOut:
    """Newest request first."""
    stops = _IN_STATE[state]()
    if cursor:
        at, key = cursors.decode(cursor)
        stops = stops.filter(Q(requested_at__lt=at) | Q(requested_at=at, pk__lt=key))
    found = list(stops.order_by("-requested_at", "-pk")[: limit + 1])
    page, has_more = found[:limit], len(found) > limit
    following = cursors.encode(page[-1].requested_at, page[-1].pk) if has_more else None
    return StopsOut(items=[_stop(one) for one in page], next=following)


@router.post(
    "",
    response={200: StopOut, 201: StopOut, 202: StopOut},
    auth=WRITE,
    summary="Engage a stop",
    openapi_extra=problems(400, 409, 413, 422),
)
def engage(request: TokenRequest, body: StopIn, key: Key = "") -> Status[StopOut]:
    """In force at once. 201: proven. 200: it was in force already, and is proven.

    202: not proven; send it again, under another key, for another try.
    """
    wrong = targets.refusal(mode=body.mode, scope=body.scope, value=body.value)
    if wrong is not None:
        field, message = wrong
        error = {"at": f"body.{field}", "message": message}
        raise Problem(422, f"{field} {message}.", errors=[error])
    user = request.auth.user
    return Once(request, key, body).answer(lambda keep: _engage(body, user, keep))


def _engage(body: StopIn, user: User, keep: Keep) -> Status[StopOut]:
    with transaction.atomic():
        stop, is_new = actions.engage_stop(**body.dict(), requester=user)
        answer = _engaged(stop, is_new=is_new)
        keep(answer)
    if stop.proven_at is None and _prove(stop, user):
        answer = _engaged(stop, is_new=is_new)
        keep(answer)
    return answer


def _prove(stop: Stop, prover: User) -> bool:
    """Whatever fails here, the stop is in force: an error would say that it is not."""
    try:
        actions.prove_stop(stop, prover=prover)
    except (actions.NotProvenError, OperationalError, InterfaceError) as error:
        log.warning("stop_not_proven", stop=str(stop.pk), reason=str(error))
        return False
    return True


def _engaged(stop: Stop, *, is_new: bool) -> Status[StopOut]:
    if stop.proven_at is None:
        return Status(202, _stop(stop))
    return Status(201 if is_new else 200, _stop(stop))


@router.post(
    "/{uuid:stop_id}/release",
    response=StopOut,
    auth=RELEASE,
    summary="Release a stop",
    openapi_extra=problems(400, 404, 409, 413, 422),
)
def release(
    request: TokenRequest, stop_id: UUID, body: ReleaseIn, key: Key = ""
) -> Status[StopOut]:
    """A hard stop is released at once; answers that it has held still wait for people.

    A soft one is releasing, and released when nothing waits for its ramp any more.
    """
    user = request.auth.user
    return Once(request, key, body).answer(
        lambda keep: _release(stop_id, body, user, keep)
    )


@transaction.atomic
def _release(
    stop_id: UUID, body: ReleaseIn, releaser: User, keep: Keep
) -> Status[StopOut]:
    stop = Stop.objects.filter(pk=stop_id).first()
    if stop is None:
        raise not_found("There is no such stop.")
    is_released = actions.release_stop(stop, **body.dict(), releaser=releaser)
    out = _stop(Stop.objects.get(pk=stop_id))
    if not is_released:
        raise _already_released(out)
    answer = Status(200, out)
    keep(answer)
    return answer


def _already_released(stop: StopOut) -> Problem:
    detail = f"{stop.released_by} has released it."
    more = stop.model_dump(mode="json")
    return Problem(409, detail, code="already_released", stop=more)


def _stop(stop: Stop) -> StopOut:
    return StopOut(
        id=stop.pk,
        mode=stop.mode,
        scope=stop.scope,
        value=stop.value,
        reason=stop.reason,
        state=stop.state,
        requested_by=stop.requested_by,
        requested_at=stop.requested_at,
        proven_at=stop.proven_at,
        proof_ms=_proof_ms(stop),
        released_by=stop.released_by or None,
        releasing_at=stop.releasing_at,
        ramp_per_s=stop.ramp_per_s,
        released_at=stop.released_at,
        release_reason=stop.release_reason,
    )


def _proof_ms(stop: Stop) -> int | None:
    if stop.proven_at is None:
        return None
    return round((stop.proven_at - stop.requested_at) / timedelta(milliseconds=1))
