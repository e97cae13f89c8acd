"""manage.py topics: create the topics that are missing, say which differ, export the contracts."""

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from agents import contracts, registry
from agents.broker import BrokerError
from agents.topic_setup import ensure_topics
from agents.topics import TOPICS


class Command(BaseCommand):
    help = "Create the topics of the register, check them, or export their contracts."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--check", action="store_true", help="create nothing")
        parser.add_argument(
            "--export",
            type=Path,
            metavar="DIR",
            help="write JSON Schemas and asyncapi.json to DIR instead; needs no Kafka",
        )

    def handle(
        self, *args: Any, check: bool, export: Path | None, **options: Any
    ) -> None:
        if export is not None:
            written = contracts.export(export, registry.declarations())
            self.stdout.write(f"{len(written)} files in {export}")
            return
        self._ensure(create=not check)

    def _ensure(self, *, create: bool) -> None:
        try:
            created, problems = ensure_topics(
                settings.KAFKA, TOPICS.values(), create=create
            )
        except BrokerError as error:
            raise CommandError(f"Kafka does not answer: {error}") from error
        for name in created:
            self.stdout.write(f"created {name}")
        for problem in problems:
            self.stderr.write(f"{problem.topic} {problem.what}")
        if problems:
            raise CommandError(f"{len(problems)} differences; see docs/operations.md")
        self.stdout.write(f"{len(TOPICS)} topics are as declared")
