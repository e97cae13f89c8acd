"""The file behind a health check: fresh while work is done, and only then."""

import os
import time
from pathlib import Path

import pytest

from agents import alive
from agents.alive import Pulse


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "alive"
    monkeypatch.setenv(alive.VARIABLE, str(path))
    return path


def test_what_has_done_nothing_yet_is_not_alive(file: Path) -> None:
    assert "not there" in alive.why_not()

    alive.touch()

    assert alive.why_not() == ""


def test_old_work_does_not_count(file: Path) -> None:
    alive.touch()
    then = time.time() - alive.FRESH_S - 1
    os.utime(file, (then, then))

    assert "nothing was done for 31 s" in alive.why_not()


def test_whatever_hangs_leaves_the_file_alone(file: Path) -> None:
    Pulse(lambda: False).beat()
    assert not file.exists()

    Pulse(lambda: True).beat()
    assert file.exists()


def test_who_names_no_file_writes_none_and_is_told_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(alive.VARIABLE, raising=False)

    alive.touch()

    assert alive.why_not() == "INTERLOCK_ALIVE_PATH names no file"
