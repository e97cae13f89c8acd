"""The whole site in a process of its own, with its sockets, over the test database."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.error import URLError
from urllib.request import urlopen

from tests.moderation.rows import database_url
from tests.ports import own_port
from tests.waiting import wait_for


@contextmanager
def running_site() -> Iterator[str]:
    """Yield its address. The database and Valkey have to be there."""
    port = own_port(8600)
    command = [
        sys.executable,
        "-m",
        "controlplane.web",
        "-b",
        "127.0.0.1",
        "-p",
        str(port),
    ]
    environment = os.environ | {"DATABASE_URL": database_url()}
    with subprocess.Popen(
        [*command, "controlplane.asgi:application"],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        root = f"http://127.0.0.1:{port}"
        try:
            wait_for(lambda: _answers(f"{root}/healthz"), timeout_s=30, what=root)
            yield root
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=15)


def _answers(url: str) -> bool:
    try:
        with urlopen(url, timeout=5) as answer:  # noqa: S310
            return bool(answer.status == 200)
    except (URLError, OSError):
        return False
