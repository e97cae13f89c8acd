"""The services as an account without rights starts them (the other tests run as whoever runs them)."""

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

SCRIPT = """
import sys
from pathlib import Path
from controlplane.embedded import services
started = services.start(Path(sys.argv[1]), report=lambda line: None)
print(started.environment["DATABASE_URL"], len(started.children))
started.stop()
services.remove(Path(sys.argv[1]))
"""
NOBODY = accounts.unprivileged()
pytestmark = pytest.mark.skipif(
    NOBODY is None, reason="every other test shows it: we are not root"
)


@pytest.fixture
def home() -> Iterator[Path]:
    """A home that the account owns and can reach, with the jars already in its cache."""
    assert NOBODY is not None
    jars.class_path(lambda _line: None)
    home = Path(tempfile.mkdtemp(dir=accounts.SHARED))
    shutil.copytree(jars.cache_dir() / "jars", home / "cache" / "jars")
    # An archive that Java cannot use: it has to start without, and need not write one.
    (home / "cache" / _archive().name).touch()
    for path in (home, *home.rglob("*")):
        os.chown(path, NOBODY, NOBODY)
    yield home
    shutil.rmtree(home)


def python_for(account: int) -> str:
    """A Python of our version that this account can reach: ours, or the system's."""
    system = f"/usr/bin/python3.{sys.version_info.minor}"
    for candidate in (sys.executable, system):
        if Path(candidate).exists() and accounts.can_reach(
            Path(candidate).resolve(), account
        ):
            return candidate
    pytest.skip(f"neither {sys.executable} nor {system} can be run by uid {account}")


def test_an_ordinary_user_starts_and_removes_everything(home: Path) -> None:
    assert NOBODY is not None
    modules = [str(ROOT), str(Path(psycopg.__file__).parents[1])]
    environment = {
        "HOME": str(home),
        "INTERLOCK_CACHE_DIR": str(home / "cache"),
        "PYTHONPATH": os.pathsep.join(modules),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PATH": "/usr/bin:/bin",
    }

    done = subprocess.run(
        [python_for(NOBODY), "-c", SCRIPT, str(home / "run")],
        cwd=home,
        env=environment,
        user=NOBODY,
        group=NOBODY,
        extra_groups=[],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.stderr == ""
    address, children = done.stdout.split()
    assert address.startswith("postgresql://interlock:")
    assert children == "4"
    assert not (home / "run").exists()


def test_programs_in_a_closed_folder_are_copied_to_where_they_can_be_run(
    tmp_path: Path,
) -> None:
    assert NOBODY is not None
    (tmp_path / "closed" / "bin").mkdir(parents=True)
    program = tmp_path / "closed" / "bin" / "hello"
    program.write_text("#!/bin/sh\necho hello\n")
    program.chmod(0o700)
    (tmp_path / "closed").chmod(0o700)

    copy = accounts.readable_copy(tmp_path / "closed", NOBODY)

    try:
        hello = subprocess.run(
            [copy / "bin" / "hello"], user=NOBODY, capture_output=True, check=True
        )
        assert hello.stdout == b"hello\n"
        assert accounts.readable_copy(tmp_path / "closed", NOBODY) == copy
    finally:
        shutil.rmtree(copy)
