"""The Celery application: hosts the agents, runs scheduled work."""

import os

from celery import Celery

from agents.host import install

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "controlplane.settings")

app = Celery("controlplane")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
install(app)
