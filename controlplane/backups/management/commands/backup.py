"""manage.py backup: one file with everything that PostgreSQL holds."""

from argparse import ArgumentParser
from pathlib import Path

from django.core.management.base import BaseCommand, CommandError

from agents.broker import BrokerError
from controlplane.audit.actions import at_the_shell
from controlplane.backups import actions, catch_up, dump
from controlplane.backups.programs import BackupError


class Command(BaseCommand):
    help = "Write everything that PostgreSQL holds into one file, while all goes on."
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path)
        parser.add_argument("--overwrite", action="store_true")

    def handle(self, *, file: Path, overwrite: bool, **_: object) -> None:
        try:
            dump.refuse_to_overwrite(file, overwrite=overwrite)
            self._note_positions()
            digest = dump.write(file, overwrite=overwrite, report=self._report)
        except BackupError as error:
            raise CommandError(str(error)) from None
        size = file.stat().st_size
        actor = at_the_shell()
        actions.record_backup(file.name, size=size, sha256=digest, actor=actor)
        self.stdout.write(f"{file}: {size:,} bytes, SHA-256 {digest}")

    def _note_positions(self) -> None:
        """Before the dump: it may hold more than they say, never less."""
        try:
            actions.note_positions(catch_up.committed())
        except BrokerError as error:
            actions.note_positions({})
            self._report(
                f"Kafka does not answer ({error}): a restore of this file will read its"
                " topics from their start."
            )

    def _report(self, line: str) -> None:
        self.stderr.write(line, style_func=str)
        self.stderr.flush()
