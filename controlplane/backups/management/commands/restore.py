"""manage.py restore: the database as a backup has it, and what Kafka knows of the time since."""

from argparse import ArgumentParser
from pathlib import Path

import psycopg
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError

from agents.agent import UnavailableError
from agents.broker import BrokerError
from controlplane.audit.actions import at_the_shell
from controlplane.backups import actions, catch_up, dump, rights
from controlplane.backups.programs import BackupError

UNFINISHED = (
    "The database is restored but does not know what came after the backup. Start no worker: its"
    " answers could reach users twice. The application's role has no rights, if it is another"
    " than the owner's. Put the cause right, then restore again with --replace."
)


class Command(BaseCommand):
    help = "Put a backup into the database. No worker and no site may run."
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path)
        parser.add_argument(
            "--replace", action="store_true", help="drop what the database holds"
        )
        parser.add_argument(
            "--while-running",
            action="store_true",
            help="although workers are live, or others use the database",
        )

    def handle(
        self, *, file: Path, replace: bool, while_running: bool, **_: object
    ) -> None:
        try:
            dump.check(file)
            if not replace:
                dump.refuse_what_is_not_empty()
            if not while_running:
                dump.refuse_while_used()
            catch_up.committed()
            dump.read(file, report=self._report)
        except BrokerError as error:
            raise CommandError(
                f"Kafka does not answer ({error}). It must say what came after the backup."
                " Nothing was changed."
            ) from error
        except (BackupError, psycopg.Error) as error:
            raise CommandError(str(error)) from None
        # Newer migrations, and after them the rights of the application's role.
        call_command("migrate", database="owner", verbosity=0, skip_checks=True)
        with rights.owner_alone():
            self._tell(file, self._catch_up())

    def _catch_up(self) -> catch_up.Caught:
        try:
            return catch_up.catch_up(self._report)
        except (BrokerError, UnavailableError) as error:
            raise CommandError(f"{UNFINISHED} The cause: {error}") from error
        except Exception:
            self._report(UNFINISHED)
            raise

    def _tell(self, file: Path, found: catch_up.Caught) -> None:
        detail = {
            "sha256": dump.sha256_of(file),
            "records": str(found.records),
            "unreadable": str(found.unreadable),
            "decisions": str(found.decisions),
            "corrections": str(found.corrections),
            "stops": str(found.stops),
            "mails": str(found.mails),
            "kafka": "whole" if found.is_whole else "incomplete",
            "changes_lost": str(len(found.lost_changes)),
        }
        actions.record_restore(
            file.name,
            detail=detail,
            version=found.version,
            actor=at_the_shell(),
        )
        self.stdout.write(
            f"Restored. Since the backup: {found.records:,} records"
            f" ({found.unreadable:,} unreadable), {found.decisions:,} decisions,"
            f" {found.corrections:,} corrections and {found.stops:,} changes of stops taken over"
            " from Kafka."
        )
        if not found.is_whole:
            self.stdout.write(
                "Kafka no longer has all that came after the backup: turns that were open in it"
                " fail at their deadline, unless they are answered."
            )
        if found.mails:
            self.stdout.write(
                f"{found.mails:,} mails may have gone out since the backup: none is sent by"
                " itself, and people decide on /effects/."
            )
        for change in found.lost_changes:
            self.stdout.write(f"Not in the backup, to be made again: {change}")

    def _report(self, line: str) -> None:
        self.stderr.write(line, style_func=str)
        self.stderr.flush()
