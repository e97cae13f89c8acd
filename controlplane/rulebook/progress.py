"""How far a job is: for the pages of backtests and of evaluations."""

from datetime import timedelta
from typing import Any

from controlplane.clock import database_now
from controlplane.jobs import KEPT_FOR, Job, JobQuerySet
from controlplane.spoken import spoken

SILENT_AFTER = timedelta(seconds=10)  # wake-ups come each second or two
STATES: dict[str, tuple[str, str]] = {
    Job.State.QUEUED: ("plain", "waits"),
    Job.State.RUNNING: ("work", "at work"),
    Job.State.DONE: ("go", "finished"),
    Job.State.CANCELLED: ("soft", "cancelled"),
    Job.State.FAILED: ("stop", "failed"),
}


def progress(job: Job) -> dict[str, Any]:
    color, word = STATES[job.state]
    until = job.finished_at and job.finished_at + KEPT_FOR
    return {"job": job, "color": color, "word": word, "kept_until": until}


def waiting(job: Job, jobs: JobQuerySet[Any]) -> dict[str, Any]:
    """Of one that is not finished: how many come before it, and how long nobody has been at it."""
    silent = database_now() - job.beat_at
    before = jobs.unfinished().filter(requested_at__lt=job.requested_at)
    ahead = before.count()
    return {
        "ahead": ahead,
        "silent": spoken(silent) if silent > SILENT_AFTER and not ahead else "",
    }
