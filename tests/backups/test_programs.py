"""PostgreSQL's programs: found, run, and told nothing that others may not read."""

import os
import sys
from pathlib import Path

import pytest
from django.db import connections

from controlplane.backups import programs
from controlplane.backups.programs import BackupError


def test_no_password_is_on_a_command_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    owner = connections["owner"].settings_dict
    monkeypatch.setitem(owner, "PASSWORD", "open sesame")
    monkeypatch.setitem(owner, "NAME", "it's")
    told = tmp_path / "told"
    code = "import os, sys; open(sys.argv[1], 'w').write(os.environ['PGPASSWORD'])"

    programs.run([sys.executable, "-c", code, str(told)], heard=lambda _: None)

    assert "sesame" not in programs.database()
    assert "it\\'s" in programs.database()
    assert told.read_text() == "open sesame"


def test_what_a_failed_program_said_last_is_told() -> None:
    code = "import sys; [print(n, file=sys.stderr) for n in range(50)]; sys.exit(3)"
    heard: list[str] = []

    with pytest.raises(BackupError, match="exit code 3") as error:
        programs.run([sys.executable, "-c", code], heard=heard.append)

    assert str(error.value).endswith("42\n43\n44\n45\n46\n47\n48\n49")
    assert len(heard) == 50


def test_without_the_wheel_the_program_on_path_is_taken_or_it_is_said_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert Path(programs.find("pg_dump")).name == "pg_dump"
    with pytest.raises(BackupError, match="apt-get install postgresql-client"):
        programs.find("pg_of_nobody")

    own = tmp_path / "pg_of_nobody"
    own.write_text("#!/bin/sh")
    own.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert programs.find("pg_of_nobody") == str(own)
