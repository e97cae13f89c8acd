"""Scheduled work of the chat."""

from celery import shared_task

from controlplane.chat import actions, copies_queue, sweeper


@shared_task(name="chat.sweep_overdue_turns")
def sweep_overdue_turns() -> None:
    sweeper.sweep()
    actions.send_again()


@shared_task(name="chat.queue_corrections")
def queue_corrections() -> None:
    copies_queue.queue_copies()
