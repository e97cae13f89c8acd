"""Scheduled work of the trace index."""

from celery import shared_task

from controlplane.traces import actions


@shared_task(name="traces.create_partitions")
def create_partitions() -> None:
    actions.create_partitions()
