"""What `make` says on a machine that lacks something, and does without services."""

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
# A Python with a fault: it runs what it is told with -c after the fault, and nothing else.
FAULTY = """#!/bin/sh
test "$1" = -c || {{ echo "unexpected: $*" >&2; exit 99; }}
exec {python} -c 'import sys; {fault}; exec(sys.argv[1])' "$2"
"""
OLD = "sys.version_info = (3, 10, 12)"
WITHOUT_VENV = 'sys.modules["ensurepip"] = None'


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy that nothing has been installed into."""
    (tmp_path / "requirements").mkdir()
    for name in ("Makefile", "requirements/dev.txt"):
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def make(checkout: Path, fault: str) -> subprocess.CompletedProcess[str]:
    python = checkout / "faulty-python"
    python.write_text(FAULTY.format(python=sys.executable, fault=fault))
    python.chmod(python.stat().st_mode | stat.S_IXUSR)
    # What a make around us says to its children is not for this one.
    outer = {"MAKEFLAGS", "MAKELEVEL", "MFLAGS"}
    inherited = {name: said for name, said in os.environ.items() if name not in outer}
    return subprocess.run(
        ["make", "up", f"PYTHON={python}"],
        cwd=checkout,
        env=inherited | {"LC_ALL": "C"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_python_that_is_too_old_is_named_with_what_to_do(checkout: Path) -> None:
    done = make(checkout, OLD)

    assert done.returncode == 2  # make's own code for a command that failed
    assert done.stdout == (
        f"Interlock needs Python 3.11 or later; {checkout}/faulty-python is older. "
        "Say which: make up PYTHON=python3.11\n"
    )
    assert not (checkout / ".venv").exists()


def test_a_missing_venv_module_is_named_with_the_package_to_install(
    checkout: Path,
) -> None:
    done = make(checkout, WITHOUT_VENV)

    assert done.returncode == 2
    assert done.stdout == (
        "Python's venv module is missing. "
        "On Debian and Ubuntu: apt-get install python3-venv\n"
    )
    assert not (checkout / ".venv").exists()


def test_what_stops_make_is_the_recipe_and_nothing_else(checkout: Path) -> None:
    for fault in (OLD, WITHOUT_VENV):
        [error] = make(checkout, fault).stderr.splitlines()
        assert error.startswith("make: *** [Makefile:")
        assert error.endswith("Error 1")


def test_the_check_for_migrations_needs_no_database() -> None:
    away = "postgresql://interlock@127.0.0.1:1/interlock"
    command = (
        "makemigrations --check --dry-run --settings tests.settings_without_database"
    )
    assert command in (ROOT / "Makefile").read_text()

    done = subprocess.run(
        [sys.executable, "manage.py", *command.split()],
        cwd=ROOT,
        env=os.environ | {"DATABASE_URL": away},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "No changes detected\n"
