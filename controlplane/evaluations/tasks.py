"""Scheduled work on evaluations."""

from celery import shared_task

from controlplane.evaluations import actions, running


@shared_task(name="evaluations.run")
def run() -> None:
    running.run()


@shared_task(name="evaluations.forget_old")
def forget_old() -> None:
    actions.forget_old()
