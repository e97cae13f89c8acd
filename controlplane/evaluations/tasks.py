"""Scheduled work on evaluations."""

from celery import shared_task

from controlplane.evaluations import running


@shared_task(name="evaluations.run")
def run() -> None:
    running.run()
