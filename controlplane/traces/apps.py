"""The traces app."""

from django.apps import AppConfig


class TracesConfig(AppConfig):
    name = "controlplane.traces"
