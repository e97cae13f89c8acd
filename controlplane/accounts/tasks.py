"""Scheduled work of the accounts."""

from celery import shared_task

from controlplane.accounts import attempts, sessions


@shared_task(name="accounts.forget_expired")
def forget_expired() -> None:
    attempts.forget_attempts()
    sessions.forget_expired()
