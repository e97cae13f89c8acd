"""What the two commands refuse, and what they leave behind."""

import re
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import connections
from psycopg import sql

from agents.host import conninfo
from controlplane.audit.models import Entry
from controlplane.backups import actions, catch_up, dump
from controlplane.backups.models import Position
from controlplane.backups.programs import BackupError
from controlplane.chat.models import Turn
from tests.factories import make_turn
from tests.home.making import make_heartbeat

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("kafka_topics"),
]


def test_a_backup_overwrites_nothing_unless_it_is_asked_to(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "monday.dump"
    file.write_text("not yet")

    with pytest.raises(CommandError, match="is there already"):
        call_command("backup", str(file))
    assert file.read_text() == "not yet"

    call_command("backup", str(file), overwrite=True)
    said = capsys.readouterr()
    assert "public.chat_turn" in said.err
    [entry] = Entry.objects.filter(action="database_backed_up")
    assert entry.detail["sha256"] in said.out
    assert entry.detail["bytes"] == file.stat().st_size
    assert file.stat().st_mode & 0o077 == 0
    assert list(tmp_path.iterdir()) == [file]

    with pytest.raises(CommandError, match="--replace drops all of them first"):
        call_command("restore", str(file))


def test_a_backup_that_fails_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = connections["owner"].settings_dict
    with pytest.raises(CommandError, match="cannot be written"):
        call_command("backup", str(tmp_path / "nowhere" / "monday.dump"))

    monkeypatch.setitem(owner, "PASSWORD", "wrong")
    with pytest.raises(CommandError, match="password authentication failed"):
        call_command("backup", str(tmp_path / "monday.dump"))

    assert list(tmp_path.iterdir()) == []
    assert not Entry.objects.exists()


def test_without_kafka_a_backup_says_so_and_a_restore_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(settings, "KAFKA", {"bootstrap.servers": "127.0.0.1:1"})
    monkeypatch.setattr(catch_up, "KAFKA_TIMEOUT_S", 0.2)
    file, turn = tmp_path / "monday.dump", make_turn()
    actions.note_positions({("user.messages.raw", 0): 1})

    call_command("backup", str(file))
    assert "read its topics from their start" in capsys.readouterr().err
    assert not Position.objects.exists()

    with pytest.raises(CommandError, match=r"Kafka does not answer.+Nothing was"):
        call_command("restore", str(file), replace=True, while_running=True)
    assert Turn.objects.get().pk == turn.pk


def test_a_file_that_is_no_backup_or_a_newer_one_s_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "notes.txt"
    with pytest.raises(CommandError, match="There is no file"):
        call_command("restore", str(file))
    file.write_text("Buy milk.")
    with pytest.raises(CommandError, match="not appear to be a valid archive"):
        call_command("restore", str(file))

    dump.write(file, overwrite=True, report=lambda _: None)
    dump.check(file)
    known = dump.known_migrations() - {("backups", "0001_initial")}
    monkeypatch.setattr(dump, "known_migrations", lambda: known)
    with pytest.raises(BackupError, match=r"no migration backups\.0001_initial"):
        dump.check(file)


@pytest.fixture
def own_database(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An empty one, to which nobody is connected: others of this process use the shared one."""
    name = f"quiet_{uuid4().hex[:8]}"
    with psycopg.connect(conninfo("owner"), autocommit=True) as owner:
        owner.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        with monkeypatch.context() as patch:
            for alias in ("default", "owner"):
                patch.setitem(connections[alias].settings_dict, "NAME", name)
            yield
        drop = sql.SQL("DROP DATABASE {} WITH (FORCE)")
        owner.execute(drop.format(sql.Identifier(name)))


def test_a_worker_that_was_just_heard_of_uses_the_database() -> None:
    heartbeat = make_heartbeat()

    with pytest.raises(BackupError, match=re.escape(heartbeat.pk)):
        dump.refuse_while_used()


@pytest.mark.usefixtures("own_database")
def test_whoever_is_connected_uses_the_database() -> None:
    dump.refuse_while_used()

    with (
        psycopg.connect(conninfo()),
        pytest.raises(BackupError, match=r"in use \(1 of interlock\)"),
    ):
        dump.refuse_while_used()


@pytest.mark.usefixtures("own_database")
def test_who_ends_meanwhile_does_not_use_it(monkeypatch: pytest.MonkeyPatch) -> None:
    gone = psycopg.connect(conninfo())
    # The session ends while it is waited for.
    monkeypatch.setattr(time, "sleep", lambda _: gone.close())

    dump.refuse_while_used()

    assert gone.closed


def test_a_log_that_lacks_a_part_is_not_called_whole() -> None:
    actions.note_positions({("user.messages.raw", 0): 10**9})
    found = catch_up.Caught()

    ranges = catch_up._ranges(found)

    assert not found.is_whole
    assert ranges["user.messages.raw", 0][0] < 10**9
    assert {topic for topic, _ in ranges} >= {"agent.responses.approved"}
