"""Jobs that workers do bit by bit, beside agents that come first: rows with a lease, which each wake-up goes on with.

What was found, how far it is and the sign of life are one row, written in one statement: a worker that dies takes
nothing with it, and whoever takes over does nothing twice.
"""

import time
import uuid
from collections.abc import Callable
from concurrent.futures import Future, wait
from datetime import timedelta
from typing import Any, ClassVar, TypeVar

import msgspec
import structlog
from django.conf import settings
from django.db import models, transaction
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils import timezone

from controlplane.clock import database_now

log = structlog.get_logger()

UNFINISHED = ("queued", "running")
LOST_AFTER = timedelta(seconds=15)  # then another worker takes it over
MAX_LOSSES = 3
KEPT_FOR = timedelta(days=30)  # from its end on
RUN_S = 2.0  # then the next wake-up goes on
SAVE_EVERY_S = 1.0
BATCH = 32  # texts
SCORED_BATCH = 8  # at the scorers at once: live traffic is to find room there
LOST = (
    "Three workers in a row ended while they were at it. Their logs say why; it went on"
    " from where the one before had been."
)


J = TypeVar("J", bound="Job")
T = TypeVar("T")


class JobQuerySet(models.QuerySet[J]):
    def unfinished(self) -> "JobQuerySet[J]":
        """The first is the one that is worked on."""
        return self.filter(state__in=UNFINISHED).order_by("requested_at", "pk")

    def latest_first(self) -> "JobQuerySet[J]":
        return self.order_by("-requested_at", "-pk")

    def outdated(self) -> "JobQuerySet[J]":
        return self.filter(finished_at__lt=timezone.now() - KEPT_FOR)

    def end(self, state: str, reason: str = "") -> int:
        """Return how many it ended: those that had ended before stay as they are."""
        return self.unfinished().update(
            state=state,
            reason=reason,
            finished_at=timezone.now(),
            lease=None,
            **self.model.AT_END,
        )


class Job(models.Model):
    """lease: of the worker that is at it, which says so by beat_at; without one any worker may go on."""

    class State(models.TextChoices):
        QUEUED = "queued"
        RUNNING = "running"
        DONE = "done"
        CANCELLED = "cancelled"
        FAILED = "failed"

    AT_END: ClassVar[dict[str, Any]] = {}  # what its end makes of other fields

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    state = models.CharField(max_length=9, choices=State, default=State.QUEUED)
    reason = models.TextField(blank=True)  # why it failed
    started_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT)
    requested_at = models.DateTimeField(default=timezone.now)
    finished_at = models.DateTimeField(null=True, blank=True)
    total = models.PositiveIntegerField()
    done = models.PositiveIntegerField(default=0)
    lease = models.UUIDField(null=True, blank=True)
    beat_at = models.DateTimeField(db_default=Now())
    losses = models.PositiveIntegerField(default=0)  # workers that were not heard again

    class Meta:
        abstract = True
        constraints = [
            models.UniqueConstraint(
                name="%(app_label)s_%(class)s_is_one_at_a_time_per_person",
                fields=["started_by"],
                condition=Q(state__in=UNFINISHED),
            ),
            models.CheckConstraint(
                name="%(app_label)s_%(class)s_ends_in_an_end_state",
                condition=Q(state__in=UNFINISHED, finished_at=None)
                | (~Q(state__in=UNFINISHED) & Q(finished_at__isnull=False)),
            ),
            models.CheckConstraint(
                name="%(app_label)s_failed_%(class)s_has_reason",
                condition=~Q(state="failed") | ~Q(reason=""),
            ),
            models.CheckConstraint(
                name="%(app_label)s_%(class)s_does_no_more_than_there_is",
                condition=Q(done__lte=F("total")),
            ),
        ]

    def __str__(self) -> str:
        return f"{self._meta.verbose_name} {self.pk}"

    @property
    def is_unfinished(self) -> bool:
        return self.state in UNFINISHED


class EndedError(Exception):
    """Somebody has cancelled it, or another worker has taken it over."""


@transaction.atomic
def claim(jobs: JobQuerySet[J]) -> J | None:
    """Take the oldest one. From a worker that is not heard any more it is taken, but not for ever."""
    job = jobs.unfinished().select_for_update().first()
    if job is None or _is_taken(job):
        return None
    job.losses = job.losses + 1 if job.lease else 0
    if job.losses >= MAX_LOSSES:
        jobs.filter(pk=job.pk).end(Job.State.FAILED, LOST)
        return None
    if job.lease:
        log.warning("job_taken_over", job=str(job), losses=job.losses)
    job.lease, job.state = uuid.uuid4(), Job.State.RUNNING
    job.beat_at = database_now()
    job.save(update_fields=["lease", "state", "losses", "beat_at"])
    return job


def _is_taken(job: Job) -> bool:
    return job.lease is not None and database_now() - job.beat_at < LOST_AFTER


def work_on(
    jobs: JobQuerySet[J], turn_at: "Callable[[J, Turn], None]", *, unreadable: str
) -> None:
    """Take a turn at the oldest one, if nobody else is at it. unreadable: why one fails that this version cannot read."""
    job = claim(jobs)
    if job is None:
        return
    turn = Turn(jobs, job)
    try:
        turn_at(job, turn)
    except EndedError:
        log.info("job_ended", job=str(job))
    except msgspec.MsgspecError:
        turn.fail(unreadable)


class Turn:
    """One worker's turn at a job that it has claimed. Each write raises EndedError if the job is not its own any more."""

    def __init__(self, jobs: JobQuerySet[Any], job: Job) -> None:
        self._mine = jobs.filter(pk=job.pk, lease=job.lease)

    def go_on(
        self, step: Callable[[], bool], so_far: Callable[[], dict[str, Any]]
    ) -> None:
        """Do steps, for as long as a turn is, or until one has nothing to do.

        After each, leave the processor to others for as long as it took. so_far: the fields that say what was done.
        """
        until_s = time.monotonic() + RUN_S
        saved_at_s = time.monotonic()
        while self._rested(step):
            now_s = time.monotonic()
            if now_s >= until_s:
                self._say(lease=None, losses=0, **so_far())
                return
            if now_s - saved_at_s >= SAVE_EVERY_S:
                self._say(losses=0, **so_far())
                saved_at_s = now_s
        with transaction.atomic():
            self._say(**so_far())
            self._mine.end(Job.State.DONE)

    def _rested(self, step: Callable[[], bool]) -> bool:
        started_s = time.thread_time()
        is_more = step()
        time.sleep(time.thread_time() - started_s)
        return is_more

    def wait_for(self, work: "Future[T]") -> T:
        """Give signs of life meanwhile, and let it go when the job has ended."""
        try:
            while not wait([work], timeout=SAVE_EVERY_S).done:
                self._say()
        except EndedError:
            work.cancel()
            raise
        return work.result()

    def fail(self, reason: str) -> None:
        self._mine.end(Job.State.FAILED, reason)

    def _say(self, **changed: Any) -> None:
        if not self._mine.unfinished().update(beat_at=Now(), **changed):
            raise EndedError
