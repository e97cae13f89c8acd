"""manage.py prepare: migrate the database and create the topics, in one process."""

from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand

from controlplane.checks import refuse_insecure


class Command(BaseCommand):
    help = "Bring the database and the topics to this version. Running it again changes nothing."
    requires_system_checks = []

    def handle(self, *args: Any, **options: Any) -> None:
        refuse_insecure()
        call_command("migrate", database="owner", verbosity=0, skip_checks=True)
        call_command("topics")
