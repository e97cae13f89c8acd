"""manage.py topics: create the topics that are missing, say which differ, export the contracts."""

from datetime import timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from agents import contracts, registry
from agents.broker import BrokerError
from agents.topic_setup import ensure_topics, keep_for, keeps_longer, retentions
from agents.topics import TOPICS
from controlplane.spoken import spoken

TIMEOUT_S = 10.0


class Command(BaseCommand):
    help = "Create the topics of the register, check them, or export their contracts."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--check", action="store_true", help="create nothing")
        parser.add_argument(
            "--declared-retention",
            action="store_true",
            help="put back how long Kafka keeps records where somebody made it longer; "
            "what is older than declared is then deleted",
        )
        parser.add_argument(
            "--export",
            type=Path,
            metavar="DIR",
            help="write JSON Schemas and asyncapi.json to DIR instead; needs no Kafka",
        )

    def handle(
        self,
        *args: Any,
        check: bool,
        export: Path | None,
        declared_retention: bool = False,
        **options: Any,
    ) -> None:
        if export is not None:
            written = contracts.export(export, registry.declarations())
            self.stdout.write(f"{len(written)} files in {export}")
            return
        try:
            created = self._ensure(create=not check)
            there = [name for name in TOPICS if name not in created]
            self._tell_longer(there, put_back=declared_retention and not check)
        except BrokerError as error:
            raise CommandError(f"Kafka does not answer: {error}") from error

    def _tell_longer(self, names: list[str], *, put_back: bool) -> None:
        """A longer retention is what somebody asked for during a stop: no difference to repair."""
        found = retentions(settings.KAFKA, names, timeout_s=TIMEOUT_S)
        longer = {n: ms for n, ms in found.items() if keeps_longer(TOPICS[n], ms)}
        if put_back:
            declared = {name: TOPICS[name].retention_ms for name in longer}
            longer = keep_for(settings.KAFKA, declared, timeout_s=TIMEOUT_S)
        for name, ms in longer.items():
            kept = f"{name} is kept for {_span(ms)}"
            told = kept if put_back else f"{kept}, {_LONGER.format(_declared(name))}"
            self.stdout.write(told)

    def _ensure(self, *, create: bool) -> list[str]:
        created, problems = ensure_topics(
            settings.KAFKA, TOPICS.values(), create=create
        )
        for name in created:
            self.stdout.write(f"created {name}")
        for problem in problems:
            self.stderr.write(f"{problem.topic} {problem.what}")
        if problems:
            raise CommandError(f"{len(problems)} differences; see docs/operations.md")
        self.stdout.write(f"{len(TOPICS)} topics are as declared")
        return created


_LONGER = (
    "longer than the {} declared; manage.py topics --declared-retention puts it back"
)


def _declared(name: str) -> str:
    return _span(TOPICS[name].retention_ms)


def _span(ms: int) -> str:
    return "ever" if ms < 0 else spoken(timedelta(milliseconds=ms))
