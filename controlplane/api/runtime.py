"""GET /api/runtime: workers, the version each obeys, and the agents with their lag."""

from datetime import datetime

from ninja import Router, Schema

from controlplane.accounts.models import ApiToken
from controlplane.api.auth import Scoped, TokenRequest
from controlplane.api.document import problems
from controlplane.home.backlog import read_backlog
from controlplane.home.workers import AgentRow, Worker, agent_rows, applied, workers
from controlplane.runtime.models import ControlVersion

router = Router(tags=["runtime"])
READ = Scoped(ApiToken.Scope.RUNTIME_READ)


class WorkerOut(Schema):
    instance: str
    host: str
    pid: int
    started_at: datetime
    seen_at: datetime
    is_live: bool
    applied_version: int
    agents: list[str]


class AgentOut(Schema):
    """applied_version: the oldest that any of its workers obeys; state may be "missing".

    lag: null while Kafka does not say.
    """

    name: str
    workflow: str
    state: str
    why: str
    workers: int
    applied_version: int | None
    lag: int | None
    in_flight: int
    errors: int


class RuntimeOut(Schema):
    """applied_in_ms: until the last worker that ran at the change obeyed it."""

    version: int
    applied_by: int
    live_workers: int
    applied_in_ms: float | None
    workers: list[WorkerOut]
    agents: list[AgentOut]


@router.get(
    "",
    response=RuntimeOut,
    auth=READ,
    summary="Read workers and agents",
    openapi_extra=problems(),
)
def read_runtime(request: TokenRequest) -> RuntimeOut:
    control = ControlVersion.objects.get(pk=1)
    listed = workers(control)
    current = applied(control, listed)
    lags = read_backlog().lags
    return RuntimeOut(
        version=current.version,
        applied_by=current.obeying,
        live_workers=current.live,
        applied_in_ms=current.in_ms,
        workers=[_worker(worker) for worker in listed],
        agents=[_agent(agent) for agent in agent_rows(listed, lags)],
    )


def _worker(worker: Worker) -> WorkerOut:
    return WorkerOut(
        instance=worker.instance,
        host=worker.host,
        pid=worker.pid,
        started_at=worker.started_at,
        seen_at=worker.seen_at,
        is_live=worker.is_live,
        applied_version=worker.version,
        agents=[status.agent for status in worker.agents],
    )


def _agent(agent: AgentRow) -> AgentOut:
    return AgentOut(
        name=agent.name,
        workflow=agent.workflow,
        state=agent.state,
        why=agent.why,
        workers=agent.workers,
        applied_version=agent.version,
        lag=agent.lag,
        in_flight=agent.in_flight,
        errors=agent.errors,
    )
