"""The home app."""

from django.apps import AppConfig


class HomeConfig(AppConfig):
    name = "controlplane.home"

    def ready(self) -> None:
        """Register the checks of the whole product, which is no app itself."""
        from controlplane import checks  # noqa: F401, PLC0415
