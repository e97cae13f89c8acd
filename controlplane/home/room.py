"""Puts the control room together: what runs, what waits, what is wrong."""

from collections.abc import Iterable
from datetime import datetime

import msgspec
from django.contrib.auth.models import User
from django.utils import timezone

from agents.lags import Lags
from controlplane.audit.models import Entry
from controlplane.chat.models import Outcome
from controlplane.deadletters.models import Letter
from controlplane.home.alerts import Alert, Figures, alerts
from controlplane.home.backlog import Backlog, read_backlog
from controlplane.home.charts import Chart, added_up, by_minute, chart_of, said
from controlplane.home.figures import measure, sightings, thresholds
from controlplane.home.problems import (
    Problem,
    problems,
    problems_of_people,
    problems_of_retention,
    problems_of_stops,
)
from controlplane.home.refusals import read_refusals
from controlplane.home.services import KAFKA, Service, watch
from controlplane.home.subjects import place_of, shortened
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
from controlplane.stops.models import Stop

LATEST = 10
SHOWN_WORKERS = 12


class Running(msgspec.Struct, frozen=True, kw_only=True):
    """How many of how many, and how much they do."""

    services: tuple[int, int]
    agents: tuple[int, int]
    workers: tuple[int, int]
    rate: str  # records a second, or nothing while that is not known
    in_flight: int
    errors: int
    chart: Chart


class Behind(msgspec.Struct, frozen=True):
    """The largest lag of any agent on any topic."""

    records: int
    agent: str = ""
    topic: str = ""


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    unfinished: int
    oldest: str  # how long the oldest unfinished turn waits
    oldest_trace: str
    held: int
    overdue: int
    unpublished: int
    behind: Behind | None  # not known


class Wrong(msgspec.Struct, frozen=True, kw_only=True):
    stops: list[Problem]
    alerts: list[Alert]
    problems: list[Problem]
    failed_today: int
    dead_letters: int
    dead_letters_per_minute: float | None  # not known
    restarts: int

    @property
    def count(self) -> int:
        return len(self.stops) + len(self.alerts) + len(self.problems)

    @property
    def state(self) -> str:
        """The worst of what is listed."""
        states = {each.state for each in (*self.stops, *self._troubles)}
        return "stop" if "stop" in states else "soft"

    @property
    def worst(self) -> Problem | Alert | None:
        """A stop in force is said above every page."""
        return min(self._troubles, key=lambda each: each.state != "stop", default=None)

    @property
    def _troubles(self) -> list[Problem | Alert]:
        return [*self.alerts, *self.problems]


class Line(msgspec.Struct, frozen=True):
    """An agent with its chart, and the same as numbers."""

    agent: AgentRow
    rate: str
    chart: Chart
    minutes: list[int]


class Action(msgspec.Struct, frozen=True):
    entry: Entry
    words: str
    about: str
    reason: str
    place: str


class Room(msgspec.Struct, frozen=True, kw_only=True):
    """workers: those in trouble first, and of many only the first; unlisted says how many more."""

    services: list[Service]
    workers: list[Worker]
    unlisted: int
    are_unlisted_well: bool
    agents: list[Line]
    applied: Applied
    running: Running
    waiting: Waiting
    wrong: Wrong
    actions: list[Action] | None  # None: not for this person
    at: datetime


def read_room(user: User, *, has_all_workers: bool = False) -> Room:
    control = ControlVersion.objects.get(pk=1)
    services = watch.read()
    backlog = _backlog(services)
    everyone = workers(control)
    listed = sorted(everyone, key=lambda worker: worker.is_well)
    shown = listed if has_all_workers else listed[:SHOWN_WORKERS]
    current = applied(control, everyone)
    agents = agent_rows(everyone, backlog.lags)
    figures = measure(backlog)
    found = problems(services, everyone, agents, backlog, read_refusals())
    found += problems_of_people(figures.overdue)
    return Room(
        services=services,
        workers=shown,
        unlisted=len(listed) - len(shown),
        are_unlisted_well=all(worker.is_well for worker in listed[len(shown) :]),
        agents=[_line(agent) for agent in agents],
        applied=current,
        running=_running(services, agents, current),
        waiting=_waiting(figures),
        wrong=_wrong(figures, found),
        actions=_latest_actions(user) if user.has_perm("audit.view_entry") else None,
        at=timezone.now(),
    )


def _line(agent: AgentRow) -> Line:
    rate = "" if agent.rate is None else said(agent.rate)
    return Line(agent, rate, chart_of(agent.recent), by_minute(agent.recent))


def _backlog(services: Iterable[Service]) -> Backlog:
    """What does not answer is not asked twice."""
    down = [each for each in services if each.name == KAFKA.name and not each.is_up]
    return Backlog(error=down[0].error) if down else read_backlog()


def _running(
    services: list[Service], agents: list[AgentRow], current: Applied
) -> Running:
    up = sum(service.is_up for service in services)
    run = sum(agent.state == "running" for agent in agents)
    rates = [agent.rate for agent in agents if agent.rate is not None]
    return Running(
        services=(up, len(services)),
        agents=(run, len(agents)),
        workers=(current.obeying, current.live),
        rate=said(sum(rates)) if rates else "",
        in_flight=sum(agent.in_flight for agent in agents),
        errors=sum(agent.errors for agent in agents),
        chart=chart_of(added_up(agents)),
    )


def _waiting(figures: Figures) -> Waiting:
    oldest = figures.oldest_turn
    return Waiting(
        unfinished=figures.unfinished,
        oldest=spoken(figures.oldest_turn_waits),
        oldest_trace=oldest.trace_id if oldest else "",
        held=figures.held,
        overdue=figures.overdue,
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
    stops = list(Stop.objects.in_force().order_by("requested_at", "pk"))
    return Wrong(
        stops=problems_of_stops(stops) + problems_of_retention(stops),
        alerts=sightings.date(alerts(figures, thresholds()), figures.at),
        problems=found,
        failed_today=failed.filter(changed_at__gte=midnight).count(),
        dead_letters=Letter.objects.open().count(),
        dead_letters_per_minute=figures.dead_letters_per_minute,
        restarts=figures.restarts,
    )


def _latest_actions(reader: User) -> list[Action]:
    """What turns became of is on their traces, what people decided on in the queue."""
    entries = Entry.objects.control_actions().order_by("-pk")[:LATEST]
    return [
        Action(
            entry,
            entry.action.replace("_", " "),
            shortened(entry.subject),
            str(entry.detail.get("reason", "")),
            place_of(entry, reader),
        )
        for entry in entries
    ]
