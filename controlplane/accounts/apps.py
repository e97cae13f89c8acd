"""The accounts app."""

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class AccountsConfig(AppConfig):
    name = "controlplane.accounts"

    def ready(self) -> None:
        from controlplane.accounts.roles import ensure_roles  # noqa: PLC0415

        post_migrate.connect(ensure_roles, sender=self)
