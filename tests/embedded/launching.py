"""How these tests start services: only some of them, in this process or in one that can be killed."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from controlplane.embedded import services
from controlplane.embedded.model import ASKED, ROOT
from controlplane.embedded.services import Services

VARIABLES = {
    "postgres": ["DATABASE_URL"],
    "valkey": ["REDIS_URL"],
    "kafka": ["KAFKA_BOOTSTRAP_SERVERS"],
    "model": ASKED,
}
LAUNCHER = """
import signal, sys
from pathlib import Path
from controlplane.embedded import services
services.start(Path(sys.argv[1]), report=lambda line: None)
print("running", flush=True)
signal.pause()
"""


def want(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Say by the environment which services are to be embedded: the others are elsewhere."""
    for name, variables in VARIABLES.items():
        for variable in variables:
            if name in names:
                monkeypatch.delenv(variable, raising=False)
            else:
                monkeypatch.setenv(variable, "elsewhere")


@contextmanager
def running(data_dir: Path, *, kafka_nodes: int = 1) -> Iterator[Services]:
    started = services.start(
        data_dir, kafka_nodes=kafka_nodes, report=lambda _line: None
    )
    try:
        yield started
    finally:
        started.stop()


@contextmanager
def launcher(data_dir: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that has started the services and waits."""
    command = [sys.executable, "-c", LAUNCHER, str(data_dir)]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "running\n"
            yield process
        finally:
            process.kill()
