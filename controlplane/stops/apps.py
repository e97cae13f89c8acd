"""The stops app."""

from django.apps import AppConfig


class StopsConfig(AppConfig):
    name = "controlplane.stops"
