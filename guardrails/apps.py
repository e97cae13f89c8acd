"""The guardrails app."""

from django.apps import AppConfig


class GuardrailsConfig(AppConfig):
    name = "guardrails"
