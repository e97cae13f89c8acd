"""Puts the control room together: what runs, what waits, what is wrong."""

import msgspec
from django.contrib.auth.models import User
from django.utils import timezone

from agents.topics import DEAD_LETTERS
from controlplane.audit.models import Entry
from controlplane.chat.models import Outcome
from controlplane.home.problems import Problem, problems
from controlplane.home.refusals import read_refusals
from controlplane.home.services import Service, watch
from controlplane.home.workers import (
    AgentRow,
    Applied,
    Worker,
    agent_rows,
    applied,
    workers,
)
from controlplane.runtime.models import ControlVersion, OutboxRecord
from controlplane.traces.models import TraceRecord
from moderation.models import Approval

LATEST = 10


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    open_turns: int
    held: int
    failed_today: int
    dead_letters: int
    unpublished: int


class Room(msgspec.Struct, frozen=True, kw_only=True):
    services: list[Service]
    workers: list[Worker]
    agents: list[AgentRow]
    applied: Applied
    counts: Counts
    problems: list[Problem]
    actions: list[Entry] | None  # None: not for this person
    at: object


def read_room(user: User) -> Room:
    control = ControlVersion.objects.get(pk=1)
    services = watch.services()
    listed = workers(control)
    agents = agent_rows(listed)
    return Room(
        services=services,
        workers=listed,
        agents=agents,
        applied=applied(control, listed),
        counts=_counts(),
        problems=problems(services, listed, agents, read_refusals()),
        actions=_latest_actions() if user.has_perm("audit.view_entry") else None,
        at=timezone.now(),
    )


def _counts() -> Counts:
    midnight = timezone.now().replace(hour=0, minute=0, second=0, microsecond=0)
    outcomes = Outcome.objects.filter(effect="reply")
    return Counts(
        open_turns=outcomes.filter(state=Outcome.State.OPEN).count(),
        held=Approval.objects.pending().count(),
        failed_today=outcomes.filter(
            state=Outcome.State.FAILED, changed_at__gte=midnight
        ).count(),
        dead_letters=TraceRecord.objects.filter(topic=DEAD_LETTERS).count(),
        unpublished=OutboxRecord.objects.unpublished().count(),
    )


def _latest_actions() -> list[Entry]:
    """What people did; the lines of single turns are on their traces."""
    entries = Entry.objects.exclude(subject__startswith="turn:")
    return list(entries.order_by("-pk")[:LATEST])
