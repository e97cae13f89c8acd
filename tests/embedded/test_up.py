"""`manage.py up` and `manage.py services` as a person runs them: real services, stand-ins for the site."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from signal import SIGINT, SIGKILL, SIGTERM

import pytest

from controlplane.embedded import pids, services
from controlplane.embedded.model import ROOT, answers
from controlplane.embedded.pids import wait_until
from tests.embedded.launching import want

MANAGE = """
import sys
if sys.argv[1] in ("prepare", "seed_demo"):
    import os
    print("sign in as mona" if sys.argv[1] == "seed_demo" else os.environ["DATABASE_URL"])
    sys.exit()
from django.core.management import execute_from_command_line
execute_from_command_line(sys.argv)
"""
SETTINGS = "INSTALLED_APPS = ['controlplane.embedded']\nSECRET_KEY = 'only here'\nDEBUG = True\n"
SITE = """
from argparse import ArgumentParser
from http.server import BaseHTTPRequestHandler, HTTPServer

class Ready(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()

class CommandLineInterface:
    def __init__(self):
        self.parser = ArgumentParser()

    def run(self, arguments):
        HTTPServer((arguments[1], int(arguments[3])), Ready).serve_forever()
"""
SERVER = "class Server: pass"
PROTOCOL = "class HTTPFactory: pass\nclass WebRequest: pass"
WORKER = "import signal, sys\nprint(sys.argv)\nsignal.pause()\n"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that looks like the checkout, whose daphne and celery are of a few lines."""
    want(monkeypatch, "valkey", "model")
    monkeypatch.setenv("DATABASE_URL", "postgresql://elsewhere")
    for package in ("controlplane", "guardrails"):
        (tmp_path / package).symlink_to(ROOT / package)
    (tmp_path / "manage.py").write_text(MANAGE)
    (tmp_path / "settings_for_up.py").write_text(SETTINGS)
    modules = {
        "daphne/cli": SITE,
        "daphne/server": SERVER,
        "daphne/http_protocol": PROTOCOL,
        "celery/__main__": WORKER,
    }
    for name, text in modules.items():
        module = tmp_path / f"{name}.py"
        module.parent.mkdir(exist_ok=True)
        (module.parent / "__init__.py").touch()
        module.write_text(text)
    yield tmp_path
    services.remove(tmp_path / "run")


@contextmanager
def manage(project: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    environment = os.environ | {
        "DJANGO_SETTINGS_MODULE": "settings_for_up",
        "PYTHONPATH": str(project),
    }
    with subprocess.Popen(
        [sys.executable, "manage.py", *arguments, "--data-dir", str(project / "run")],
        cwd=project,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.terminate()


def read_until(
    process: subprocess.Popen[str], fact: Callable[[str], bool]
) -> list[str]:
    assert process.stdout is not None
    lines: list[str] = []
    for line in process.stdout:
        lines.append(line.rstrip("\n"))
        if fact(lines[-1]):
            return lines
    raise AssertionError("\n".join(lines))


def pid_of(project: Path, name: str) -> int:
    record = json.loads((project / "run" / "pids" / f"{name}.json").read_text())
    return int(record["pid"])


def test_ctrl_c_stops_everything_that_up_started(project: Path) -> None:
    with manage(project, "up", "--port", "8765") as process:
        lines = read_until(process, lambda line: line.startswith("sign in"))
        [address] = [
            line.removeprefix("ready at ")
            for line in lines
            if line.startswith("ready at ")
        ]
        assert answers(f"{address}/readyz")
        names = ["web", "worker", "beat", "valkey", "model"]
        started = [pid_of(project, name) for name in names]

        process.send_signal(SIGINT)

        assert read_until(process, lambda line: line == "stopped")[0] == "stopping ..."
        assert process.wait() == 0
    assert [pids.look(pid) for pid in started] == [None] * 5
    # Seeding goes on while the site starts, so those two may end in either order.
    assert sorted(
        line.split(":")[0] for line in lines if line.endswith(" s") and ":" in line
    ) == [
        "prepare",
        "seed_demo",
        "services",
        "web and workers",
    ]


def test_a_worker_that_dies_is_started_again(project: Path) -> None:
    with manage(project, "up", "--port", "8765", "--no-seed") as process:
        read_until(process, lambda line: line.startswith("ready at"))
        dead = pid_of(project, "worker")

        os.kill(dead, SIGKILL)

        read_until(process, lambda line: line == "worker runs again.")
        assert pid_of(project, "worker") != dead


def test_a_site_that_cannot_start_is_shown_with_its_log(project: Path) -> None:
    (project / "daphne" / "cli.py").write_text("raise SystemExit('no site today')")
    with manage(project, "up", "--port", "8765", "--no-seed") as process:
        assert process.stdout is not None
        said = process.stdout.read()

        assert process.wait() == 1
    assert "web ended by itself (exit code 1)" in said
    assert "no site today" in said
    assert not list((project / "run" / "pids").iterdir())


def test_a_step_that_fails_is_shown_with_its_log(project: Path) -> None:
    (project / "manage.py").write_text(
        MANAGE.replace("sys.exit()", "sys.exit('no migration')")
    )
    with manage(project, "up") as process:
        assert process.stdout is not None
        said = process.stdout.read()

        assert process.wait() == 1
    assert "`manage.py prepare` failed" in said
    assert "no migration" in said


def test_services_print_their_addresses_and_stop_when_asked(project: Path) -> None:
    with manage(project, "services") as process:
        lines = read_until(
            process, lambda line: line.startswith("export OPENAI_API_KEY=")
        )
        started = [pid_of(project, name) for name in ("valkey", "model")]

        process.send_signal(SIGTERM)

        assert process.wait() == 0
    assert any(line.startswith("export REDIS_URL=redis://127.0.0.1:") for line in lines)
    assert wait_until(lambda: not any(pids.look(pid) for pid in started), seconds=5)
