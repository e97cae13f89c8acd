"""The backtests app."""

from django.apps import AppConfig


class BacktestsConfig(AppConfig):
    name = "controlplane.backtests"
