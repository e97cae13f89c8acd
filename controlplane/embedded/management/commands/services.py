"""`manage.py services`: run the backing services in the foreground."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from controlplane.embedded import services
from controlplane.embedded.processes import ServiceError
from controlplane.embedded.supervisor import (
    Interrupted,
    Supervisor,
    interrupt_on_signals,
)


class Command(BaseCommand):
    help = "Run PostgreSQL, Valkey, Kafka and the demo model until Ctrl-C."
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--kafka-nodes", type=int, choices=(1, 3), default=1)
        parser.add_argument("--data-dir", type=Path, default=Path(".run"))
        parser.add_argument(
            "--remove",
            action="store_true",
            help="stop what is left and remove all data",
        )

    def handle(self, *_args: Any, **options: Any) -> None:
        try:
            if options["remove"]:
                services.remove(options["data_dir"])
            else:
                self._run(options["data_dir"], options["kafka_nodes"])
        except ServiceError as error:
            raise CommandError(str(error)) from None

    def _run(self, data_dir: Path, kafka_nodes: int) -> None:
        interrupt_on_signals()
        running = services.Services()
        try:
            running = services.start(
                data_dir, kafka_nodes=kafka_nodes, report=self._report
            )
            for name, value in running.environment.items():
                self.stdout.write(f"export {name}={value}")
            self.stdout.flush()
            Supervisor(running.children, self._report).run()
        except Interrupted:
            self._report("stopping ...")
        finally:
            running.stop()

    def _report(self, line: str) -> None:
        """To stderr: what stdout carries can be read by a shell."""
        self.stderr.write(line, style_func=str)
        self.stderr.flush()
