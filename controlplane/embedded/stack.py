"""Everything that `manage.py up` runs, phase by phase, and how it is taken down again."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from controlplane.embedded import services as backing
from controlplane.embedded.model import ROOT, answers
from controlplane.embedded.ports import HOST
from controlplane.embedded.processes import Child, ServiceError, describe_log

WORKER = "celery -A controlplane worker -P threads --agents all --loglevel warning"
BEAT = "celery -A controlplane beat --loglevel warning"


@dataclass
class Stack:
    data_dir: Path
    port: int
    report: Callable[[str], None]
    services: backing.Services = field(default_factory=backing.Services)
    children: list[Child] = field(default_factory=list)

    @property
    def address(self) -> str:
        return f"http://{HOST}:{self.port}"

    def start_services(self, *, kafka_nodes: int) -> None:
        began = time.monotonic()
        self.services = backing.start(
            self.data_dir, kafka_nodes=kafka_nodes, report=self.report
        )
        self._done("services", began)

    def manage(self, *arguments: str) -> str:
        """Run one management command to its end and return what it printed."""
        began = time.monotonic()
        log = self.data_dir / "logs" / f"{arguments[0]}.log"
        log.parent.mkdir(exist_ok=True)
        log.touch(mode=0o600)  # what a step says may hold a password
        with log.open("w") as file:
            done = subprocess.run(  # noqa: S603
                [sys.executable, "manage.py", *arguments],
                cwd=ROOT,
                env=os.environ | self.services.environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=file,
                text=True,
                start_new_session=True,
                check=False,
            )
            file.seek(0, os.SEEK_END)
            file.write(done.stdout)
        if done.returncode != 0:
            raise ServiceError(
                f"`manage.py {' '.join(arguments)}` failed. {describe_log(log)}"
            )
        self._done(arguments[0], began)
        return done.stdout.strip()

    def start_processes(self) -> None:
        """Return once the site says that it is ready, with everything it depends on."""
        began = time.monotonic()
        schedule = str(self.data_dir / "celerybeat-schedule")
        site = f"controlplane.web -b {HOST} -p {self.port} controlplane.asgi:application".split()
        self.children = [
            self._child("worker", WORKER.split()),
            self._child("beat", [*BEAT.split(), "--schedule", schedule]),
            self._child("web", site),
        ]
        self.children[-1].ready = self._is_ready
        for child in self.children:
            child.start()
        self._done("web and workers", began)

    def stop(self) -> None:
        """Web first, then what works behind it, then what they all depend on."""
        try:
            for child in reversed(self.children):
                child.stop()
        finally:
            self.services.stop()

    def _child(self, name: str, module: list[str]) -> Child:
        return Child(
            name=name,
            command=[sys.executable, "-m", *module],
            data_dir=self.data_dir,
            environment=self.services.environment,
            cwd=ROOT,
        )

    def _is_ready(self) -> bool:
        for child in self.children:
            if not child.is_running():
                raise ServiceError(child.obituary())
        return answers(f"{self.address}/readyz")

    def _done(self, phase: str, began: float) -> None:
        self.report(f"{phase}: {time.monotonic() - began:.1f} s")
