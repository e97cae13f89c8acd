"""The runtime app."""

from django.apps import AppConfig


class RuntimeConfig(AppConfig):
    name = "controlplane.runtime"
