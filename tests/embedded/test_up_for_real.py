"""`manage.py up` with everything that belongs to it: a start, Ctrl-C, starts without network."""

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from controlplane.embedded import pids, services
from controlplane.embedded.model import ROOT
from tests.e2e.product import Process
from tests.waiting import wait_for

URLS = (
    "DATABASE_URL",
    "DATABASE_OWNER_URL",
    "REDIS_URL",
    "KAFKA_BOOTSTRAP_SERVERS",
    "OPENAI_BASE_URL",
    "OPENAI_API_KEY",
    "INTERLOCK_EMBEDDINGS_URL",
    "INTERLOCK_MODERATION_URL",
)
# Runs a command in a network namespace of its own, where only the loopback interface is up.
OFFLINE = """
import fcntl, os, socket, struct, sys
with socket.socket() as any_socket:
    fcntl.ioctl(any_socket, 0x8914, struct.pack("16sh14x", b"lo", 0x49))
os.execv(sys.argv[1], sys.argv[1:])
"""


@pytest.fixture
def data_dir(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "run"
    services.remove(tmp_path / "run")


def up(data_dir: Path, *, prefix: tuple[str, ...] = ()) -> Process:
    env = {name: value for name, value in os.environ.items() if name not in URLS}
    command = [sys.executable, "manage.py", "up", "--port", "8600"]
    data_dir.parent.mkdir(exist_ok=True)
    return Process(
        "up", [*prefix, *command, "--data-dir", str(data_dir)], env, data_dir.parent
    )


def address(process: Process) -> str:
    """Return where it says that it is ready."""

    def line() -> str:
        assert process.is_running, process.log.read_text()
        found = [x for x in process.log.read_text().splitlines() if "ready at" in x]
        return found[0] if found else ""

    return wait_for(line, timeout_s=90, what="ready").removeprefix("ready at ")


def end(process: Process, data_dir: Path) -> None:
    """Press Ctrl-C, and see that nothing of it is left."""
    files = (data_dir / "pids").iterdir()
    started = [json.loads(path.read_text())["pid"] for path in files]
    assert len(started) >= 7, "web, worker, beat and four services"
    process.signal(signal.SIGINT)
    assert process.wait(60) == 0
    assert [pids.look(pid) for pid in started] == [None] * len(started)


def offline() -> tuple[str, ...]:
    as_root = ("unshare", "-n") if os.geteuid() == 0 else ("unshare", "-rn")
    return (*as_root, sys.executable, "-c", OFFLINE)


@pytest.mark.timeout(300)
def test_it_starts_in_one_go_and_stops_whole(data_dir: Path) -> None:
    process = up(data_dir)
    with urllib.request.urlopen(address(process) + "/readyz", timeout=10) as answer:  # noqa: S310
        assert answer.status == 200
    assert "sign in as ada (admin)" in process.log.read_text()
    end(process, data_dir)


@pytest.mark.long
@pytest.mark.timeout(300)
def test_it_starts_without_network_and_again_on_what_it_left(data_dir: Path) -> None:
    for _ in range(2):
        process = up(data_dir, prefix=offline())
        address(process)
        end(process, data_dir)


def test_the_namespace_has_no_network() -> None:
    look = "import socket; print([name for _, name in socket.if_nameindex()])"
    seen = subprocess.run(
        [*offline(), sys.executable, "-c", look],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert seen.stdout.strip() == "['lo']"
