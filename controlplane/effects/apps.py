"""The effects app."""

from django.apps import AppConfig


class EffectsConfig(AppConfig):
    name = "controlplane.effects"
