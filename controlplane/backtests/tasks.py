"""Scheduled work on backtests."""

from celery import shared_task

from controlplane.backtests import actions, running


@shared_task(name="backtests.run")
def run() -> None:
    running.run()


@shared_task(name="backtests.forget_old")
def forget_old() -> None:
    actions.forget_old()
