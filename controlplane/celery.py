"""The Celery application: hosts the agents, runs scheduled work."""

import os
from typing import Any

from celery import Celery
from celery.signals import after_task_publish, beat_init, celeryd_init

from agents import alive
from agents.host import install
from controlplane.checks import refuse_insecure

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "controlplane.settings")

app = Celery("controlplane")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@celeryd_init.connect
@beat_init.connect
def refuse_to_start(**_: Any) -> None:
    refuse_insecure()


@beat_init.connect
def watch_beat(**_: Any) -> None:
    """Beat has done its work whenever Valkey took a task of it."""
    after_task_publish.connect(say_alive)


def say_alive(**_: Any) -> None:
    alive.touch()


def record_switch(worker: str, agents: list[str], is_paused: bool) -> None:  # noqa: FBT001
    """Audit what remote control does. Outside of tasks nobody else gives the connection back."""
    # Models cannot be imported before Django is set up, which Celery does later.
    from django.db import connection  # noqa: PLC0415

    from controlplane.runtime.actions import record_remote_switch  # noqa: PLC0415

    try:
        record_remote_switch(worker, agents, is_paused=is_paused)
    finally:
        connection.close()


install(app, record_switch)
