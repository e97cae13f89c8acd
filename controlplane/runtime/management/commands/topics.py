"""manage.py topics: create the topics that are missing, and say which differ."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from agents.broker import BrokerError, ensure_topics
from agents.topics import TOPICS


class Command(BaseCommand):
    help = "Create the topics of the register, or check them with --check."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--check", action="store_true", help="create nothing")

    def handle(self, *args: Any, check: bool, **options: Any) -> None:
        try:
            created, problems = ensure_topics(
                settings.KAFKA, TOPICS.values(), create=not check
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
