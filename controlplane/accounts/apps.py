"""The accounts app."""

from django.apps import AppConfig
from django.db.models.signals import post_delete, post_migrate, post_save


class AccountsConfig(AppConfig):
    name = "controlplane.accounts"

    def ready(self) -> None:
        from allauth.mfa.models import Authenticator  # noqa: PLC0415

        from controlplane.accounts import factors  # noqa: PLC0415
        from controlplane.accounts.roles import ensure_roles  # noqa: PLC0415
        from controlplane.accounts.second_factor import check_roles  # noqa: PLC0415

        check_roles()
        post_migrate.connect(ensure_roles, sender=self)
        post_save.connect(factors.note_added, sender=Authenticator)
        post_delete.connect(factors.note_removed, sender=Authenticator)
