"""Scheduled work on backtests."""

from celery import shared_task

from controlplane.backtests import running


@shared_task(name="backtests.run")
def run() -> None:
    running.run()
