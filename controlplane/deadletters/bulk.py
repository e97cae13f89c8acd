"""Decides on many letters, one transaction each. The rows of the job are the truth.

A worker that dies leaves its job's row unlocked, and the next one goes on with the next letter.
"""

import time
from collections.abc import Iterable
from uuid import UUID

from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone

from controlplane.audit import actions as audit
from controlplane.deadletters import actions
from controlplane.deadletters.actions import AlreadyDecidedError, RefusedError
from controlplane.deadletters.models import Job, JobItem
from controlplane.runtime.models import OutboxRecord

RUN_S = 2.0  # then the next wake-up goes on
# Decisions of moderators wait behind what a job has put into the outbox.
MAX_UNPUBLISHED = 500


class NothingChosenError(Exception):
    """There is no letter to decide on."""


@transaction.atomic
def start_job(letters: Iterable[int], *, verb: Job.Verb, reason: str, by: User) -> Job:
    """Write down what is to be done; a worker does it."""
    job = Job.objects.create(verb=verb, reason=reason.strip(), started_by=by)
    items = [JobItem(job=job, letter_id=letter) for letter in letters]
    if not items:
        raise NothingChosenError
    JobItem.objects.bulk_create(items, batch_size=1_000)
    audit.record(
        by,
        f"letters_{verb}_started",
        f"job:{job.pk}",
        detail={"letters": len(items), "reason": job.reason},
    )
    return job


@transaction.atomic
def cancel_job(job_id: UUID, *, by: User) -> None:
    """Leave the letters alone that are still waiting. A job that has ended stays as it is."""
    now = timezone.now()
    ended = Job.objects.filter(pk=job_id, finished_at=None).update(
        cancelled_at=now, finished_at=now
    )
    if ended:
        audit.record(by, "letters_job_cancelled", f"job:{job_id}")


def run_jobs() -> None:
    """Work for a while on whatever job nobody else is at."""
    until_s = time.monotonic() + RUN_S
    while time.monotonic() < until_s and has_room() and _step():
        pass


def has_room() -> bool:
    waiting = OutboxRecord.objects.filter(published_at=None, failed_at=None)
    return waiting[:MAX_UNPUBLISHED].count() < MAX_UNPUBLISHED


@transaction.atomic
def _step() -> bool:
    """Decide on one letter, or end a job that has none left; return whether there was a job.

    The lock on the job's row keeps other workers off; it goes with its transaction.
    """
    unfinished = Job.objects.filter(finished_at=None).order_by("started_at")
    job = unfinished.select_for_update(skip_locked=True).first()
    if job is None:
        return False
    item = job.items.filter(result="").order_by("letter_id").first()
    if item is None:
        job.finished_at = timezone.now()
        job.save(update_fields=["finished_at"])
        return True
    item.result, item.note = _decide(job, item)
    item.save(update_fields=["result", "note"])
    return True


def _decide(job: Job, item: JobItem) -> tuple[JobItem.Result, str]:
    act = actions.redrive if job.verb == Job.Verb.REDRIVE else actions.discard
    try:
        act(item.letter_id, by=job.started_by, reason=job.reason)
    except AlreadyDecidedError as error:
        return JobItem.Result.ALREADY, str(error)
    except RefusedError as error:
        return JobItem.Result.REFUSED, str(error)
    return JobItem.Result.DONE, ""
