"""The API, which keeps what it answered under an Idempotency-Key."""

from django.apps import AppConfig


class ApiConfig(AppConfig):
    name = "controlplane.api"
