"""`manage.py up`: everything on this machine, by one command in the foreground."""

from argparse import ArgumentParser
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from controlplane.embedded.ports import free_port
from controlplane.embedded.processes import ServiceError
from controlplane.embedded.stack import Stack
from controlplane.embedded.supervisor import (
    Interrupted,
    Supervisor,
    interrupt_on_signals,
)


class Command(BaseCommand):
    help = "Start the backing services, the site and its workers; Ctrl-C stops all of them."
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--port", type=int, default=8000)
        parser.add_argument("--kafka-nodes", type=int, choices=(1, 3), default=1)
        parser.add_argument("--data-dir", type=Path, default=Path(".run"))
        parser.add_argument(
            "--no-seed", action="store_true", help="leave out the demo data"
        )

    def handle(self, *_args: Any, **options: Any) -> None:
        interrupt_on_signals()
        stack = Stack(options["data_dir"].resolve(), options["port"], self._report)
        try:
            self._run(
                stack, kafka_nodes=options["kafka_nodes"], seed=not options["no_seed"]
            )
        except Interrupted:
            self._report("stopping ...")
        except ServiceError as error:
            raise CommandError(str(error)) from None
        finally:
            stack.stop()
            self._report("stopped")

    def _run(self, stack: Stack, *, kafka_nodes: int, seed: bool) -> None:
        stack.start_services(kafka_nodes=kafka_nodes)
        stack.manage("prepare")
        self._choose_port(stack)
        with ThreadPoolExecutor(1) as beside:
            seeding = beside.submit(self._seed, stack) if seed else None
            stack.start_processes()
            told = seeding.result() if seeding else ""
        self._report(f"ready at {stack.address}")
        if told:
            self._report(told)
        Supervisor([*stack.children, *stack.services.children], self._report).run()

    def _seed(self, stack: Stack) -> str:
        password = str(stack.data_dir / "demo-password")
        return stack.manage("seed_demo", "--password-file", password)

    def _choose_port(self, stack: Stack) -> None:
        wanted, stack.port = stack.port, free_port(stack.port)
        if stack.port != wanted:
            self._report(f"port {wanted} is taken: the site uses {stack.port}")

    def _report(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()
