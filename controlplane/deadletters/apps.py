"""The dead letters app."""

from django.apps import AppConfig


class DeadLettersConfig(AppConfig):
    name = "controlplane.deadletters"
    verbose_name = "Dead letters"
