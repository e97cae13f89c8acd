"""The services as an account without rights starts them: as nobody where we are root, else as ourselves."""

import errno
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from controlplane.embedded import accounts, jars
from controlplane.embedded.kafka import _archive
from controlplane.embedded.model import ROOT
from tests.ports import own_port

SCRIPT = """
import os, sys
from pathlib import Path
from controlplane.embedded import services
started = services.start(Path(sys.argv[1]), report=lambda line: None)
print(os.getuid(), started.environment["DATABASE_URL"], len(started.children))
started.stop()
services.remove(Path(sys.argv[1]))
"""
NOBODY = accounts.unprivileged()
ACCOUNT = os.getuid() if NOBODY is None else NOBODY


@pytest.fixture
def home() -> Iterator[Path]:
    """A home that the account owns and can reach, with the jars already in its cache."""
    jars.class_path(lambda _line: None)
    home = Path(tempfile.mkdtemp(dir=accounts.SHARED))
    shutil.copytree(jars.cache_dir() / "jars", home / "cache" / "jars")
    # An archive that Java cannot use: it has to start without, and need not write one.
    (home / "cache" / _archive().name).touch()
    # Accounts do not see each other's locks, and other tests start services of ours meanwhile.
    names = ("postgres", "valkey", "kafka-1", "controller-1", "model")
    ports = {name: own_port(9800 + 10 * n) for n, name in enumerate(names)}
    (home / "run").mkdir()
    (home / "run" / "ports.json").write_text(json.dumps(ports))
    for path in (home, *home.rglob("*")):
        os.chown(path, ACCOUNT, -1)
    yield home
    shutil.rmtree(home)


@pytest.fixture
def shared() -> Iterator[Path]:
    """A folder for copies that the account can read, and that stay ours."""
    folder = Path(tempfile.mkdtemp(dir=accounts.SHARED))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def within_reach(folder: Path, shared: Path, *, without: tuple[str, ...] = ()) -> Path:
    """The folder itself, or a copy of it that the account can reach, at the cost of links."""
    if accounts.can_reach(folder.resolve() / "any", NOBODY):
        return folder
    return shutil.copytree(
        folder,
        shared / folder.name,
        symlinks=True,
        ignore=shutil.ignore_patterns(*without),
        copy_function=_link_or_copy,
    )


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        shutil.copy2(source, target)


@pytest.mark.long
def test_an_ordinary_user_starts_and_removes_everything(
    home: Path, shared: Path
) -> None:
    installed = Path(psycopg.__file__).parents[1]
    modules = [
        within_reach(ROOT, shared, without=(".git", ".run", ".venv", ".*_cache")),
        within_reach(installed, shared),
    ]
    base = within_reach(
        Path(sys.base_prefix), shared, without=("site-packages", "test")
    )
    python = base / "bin" / f"python{sys.version_info.major}.{sys.version_info.minor}"
    environment = {
        "HOME": str(home),
        "INTERLOCK_CACHE_DIR": str(home / "cache"),
        "PYTHONPATH": os.pathsep.join(str(folder) for folder in modules),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PATH": "/usr/bin:/bin",
    }
    if base.is_relative_to(shared):  # its library is looked for where it was built
        environment["LD_LIBRARY_PATH"] = str(base / "lib")

    done = subprocess.run(
        [python, "-c", SCRIPT, str(home / "run")],
        cwd=home,
        env=environment,
        user=NOBODY,
        group=NOBODY,
        extra_groups=None if NOBODY is None else [],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.stderr == ""
    account, address, children = done.stdout.split()
    assert int(account) == ACCOUNT != 0
    assert address.startswith("postgresql://interlock:")
    assert children == "4"
    assert not (home / "run").exists()


def test_a_folder_out_of_reach_is_copied_to_where_it_can_be_read(
    tmp_path: Path, shared: Path
) -> None:
    (tmp_path / "closed" / "left").mkdir(parents=True)
    (tmp_path / "closed" / "kept").write_text("kept")
    tmp_path.chmod(0o700)

    found = within_reach(tmp_path / "closed", shared, without=("left",))

    if NOBODY is None:  # what is ours is within our reach
        assert found == tmp_path / "closed"
    else:
        assert found == shared / "closed"
        assert [path.name for path in found.iterdir()] == ["kept"]


def test_programs_in_a_closed_folder_are_copied_to_where_they_can_be_run(
    tmp_path: Path,
) -> None:
    closed = tmp_path / "closed"
    (closed / "bin").mkdir(parents=True)
    program = closed / "bin" / "hello"
    program.write_text("#!/bin/sh\necho hello\n")
    program.chmod(0o700)
    closed.chmod(0o700)

    copy = accounts.readable_copy(closed, NOBODY)

    try:
        assert (copy == closed) == (NOBODY is None)
        hello = subprocess.run(
            [copy / "bin" / "hello"], user=NOBODY, capture_output=True, check=True
        )
        assert hello.stdout == b"hello\n"
        assert accounts.readable_copy(closed, NOBODY) == copy
    finally:
        shutil.rmtree(copy)
