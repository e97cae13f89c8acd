"""Scheduled work on dead letters."""

from celery import shared_task

from controlplane.deadletters import bulk


@shared_task(name="deadletters.run_jobs")
def run_jobs() -> None:
    bulk.run_jobs()
