"""Puts the control room together: what runs, what waits, what is wrong."""

from collections.abc import Iterable

import msgspec
from django.contrib.auth.models import User
from django.utils import timezone

from controlplane.audit.models import Entry
from controlplane.chat.models import Outcome
from controlplane.deadletters.models import Letter
from controlplane.home.alerts import Alert, Figures, alerts
from controlplane.home.backlog import Backlog, Lags, read_backlog
from controlplane.home.figures import measure, sightings, thresholds
from controlplane.home.problems import Problem, problems
from controlplane.home.refusals import read_refusals
from controlplane.home.services import KAFKA, Service, watch
from controlplane.home.workers import (
    AgentRow,
    Applied,
    Worker,
    agent_rows,
    applied,
    workers,
)
from controlplane.runtime.models import ControlVersion, OutboxRecord
from controlplane.spoken import spoken

LATEST = 10


class Running(msgspec.Struct, frozen=True, kw_only=True):
    """How many of how many."""

    services: tuple[int, int]
    agents: tuple[int, int]
    workers: tuple[int, int]


class Behind(msgspec.Struct, frozen=True):
    """The largest lag of any agent on any topic."""

    records: int
    agent: str = ""
    topic: str = ""


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    unfinished: int
    oldest: str  # how long the oldest unfinished turn waits
    held: int
    unpublished: int
    behind: Behind | None  # not known


class Wrong(msgspec.Struct, frozen=True, kw_only=True):
    alerts: list[Alert]
    problems: list[Problem]
    failed_today: int
    dead_letters: int
    dead_letters_per_minute: float | None  # not known
    restarts: int

    @property
    def count(self) -> int:
        return len(self.alerts) + len(self.problems)

    @property
    def state(self) -> str:
        """The worst of what is listed."""
        states = [a.state for a in self.alerts] + [p.state for p in self.problems]
        return "stop" if "stop" in states else "soft"


class Room(msgspec.Struct, frozen=True, kw_only=True):
    services: list[Service]
    workers: list[Worker]
    agents: list[AgentRow]
    applied: Applied
    running: Running
    waiting: Waiting
    wrong: Wrong
    actions: list[Entry] | None  # None: not for this person
    at: object


def read_room(user: User) -> Room:
    control = ControlVersion.objects.get(pk=1)
    services = watch.read()
    backlog = _backlog(services)
    listed = workers(control)
    current = applied(control, listed)
    agents = agent_rows(listed, backlog.lags)
    figures = measure(backlog)
    return Room(
        services=services,
        workers=listed,
        agents=agents,
        applied=current,
        running=_running(services, agents, current),
        waiting=_waiting(figures),
        wrong=_wrong(
            figures, problems(services, listed, agents, backlog, read_refusals())
        ),
        actions=_latest_actions() if user.has_perm("audit.view_entry") else None,
        at=timezone.now(),
    )


def _backlog(services: Iterable[Service]) -> Backlog:
    """What does not answer is not asked twice."""
    down = [each for each in services if each.name == KAFKA.name and not each.is_up]
    return Backlog(error=down[0].error) if down else read_backlog()


def _running(
    services: list[Service], agents: list[AgentRow], current: Applied
) -> Running:
    up = sum(service.is_up for service in services)
    run = sum(agent.state == "running" for agent in agents)
    return Running(
        services=(up, len(services)),
        agents=(run, len(agents)),
        workers=(current.obeying, current.live),
    )


def _waiting(figures: Figures) -> Waiting:
    return Waiting(
        unfinished=figures.unfinished,
        oldest=spoken(figures.oldest_turn_waits),
        held=figures.held,
        unpublished=OutboxRecord.objects.unpublished().count(),
        behind=_behind(figures.lags),
    )


def _behind(lags: Lags | None) -> Behind | None:
    if lags is None:
        return None
    most = max(lags, key=lags.__getitem__, default=None)
    return Behind(lags[most], *most) if most and lags[most] else Behind(0)


def _wrong(figures: Figures, found: list[Problem]) -> Wrong:
    midnight = timezone.now().replace(hour=0, minute=0, second=0, microsecond=0)
    failed = Outcome.objects.filter(effect="reply", state=Outcome.State.FAILED)
    return Wrong(
        alerts=sightings.date(alerts(figures, thresholds()), figures.at),
        problems=found,
        failed_today=failed.filter(changed_at__gte=midnight).count(),
        dead_letters=Letter.objects.open().count(),
        dead_letters_per_minute=figures.dead_letters_per_minute,
        restarts=figures.restarts,
    )


def _latest_actions() -> list[Entry]:
    """What people did; the lines of single turns are on their traces."""
    entries = Entry.objects.exclude(subject__startswith="turn:")
    return list(entries.order_by("-pk")[:LATEST])
