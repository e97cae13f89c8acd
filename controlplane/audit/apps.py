"""The audit app."""

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class AuditConfig(AppConfig):
    name = "controlplane.audit"

    def ready(self) -> None:
        from controlplane.audit.permissions import grant  # noqa: PLC0415

        post_migrate.connect(grant, sender=self)
