"""Scheduled work of the API."""

from celery import shared_task

from controlplane.api import actions


@shared_task(name="api.forget_answers")
def forget_answers() -> None:
    actions.forget_answers()
