"""The rulebook app."""

from django.apps import AppConfig


class RulebookConfig(AppConfig):
    name = "controlplane.rulebook"
