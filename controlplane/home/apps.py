"""The home app."""

from django.apps import AppConfig


class HomeConfig(AppConfig):
    name = "controlplane.home"

    def ready(self) -> None:
        """Register what belongs to the whole product, which is no app itself."""
        from controlplane import checks, idle  # noqa: F401, PLC0415
