"""The file of a backup: written aside and renamed when whole, read into an empty database."""

import hashlib
import os
import re
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psycopg
from django.db import connections
from django.db.migrations.loader import MigrationLoader
from psycopg import sql

from agents.host import conninfo
from controlplane.backups import programs
from controlplane.backups.programs import BackupError

Report = Callable[[str], None]

# Of the processes that ran then.
NOT_KEPT = "runtime_heartbeat"
LOCK_TIMEOUT = "10s"
SESSION_ENDS_S, LOOK_S = 3.0, 0.05
_ENTRY = re.compile(r'(?:dumping contents of|processing data for) table "(.+?)"')
_LIVE = """
SELECT instance FROM runtime_heartbeat WHERE seen_at > now() - interval '6 seconds'
"""
_SESSIONS = """
SELECT usename, application_name, count(*) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND usename IS NOT NULL
GROUP BY usename, application_name ORDER BY usename, application_name
"""
_RELATIONS = """
SELECT c.relname, c.relkind FROM pg_class c
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm')
  AND NOT c.relispartition
  AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e')
"""
_FUNCTIONS = """
SELECT p.oid::regprocedure::text FROM pg_proc p
WHERE p.pronamespace = 'public'::regnamespace
  AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e')
"""
_KINDS = {"r": "TABLE", "p": "TABLE", "v": "VIEW", "m": "MATERIALIZED VIEW"}

Owner = psycopg.Connection[tuple[object, ...]]


def write(file: Path, *, overwrite: bool, report: Report) -> str:
    """Write everything that the database holds; return the file's SHA-256."""
    refuse_to_overwrite(file, overwrite=overwrite)
    draft = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        draft.touch(mode=0o600, exist_ok=False)  # it holds what people wrote
    except OSError as error:
        raise BackupError(f"{file} cannot be written: {error}") from error
    try:
        programs.run(
            [
                programs.find("pg_dump"),
                *("--format=custom", "--no-owner", "--no-privileges", "--verbose"),
                f"--exclude-table-data=public.{NOT_KEPT}",
                f"--file={draft}",
                programs.database(),
            ],
            heard=_progress(report),
        )
        refuse_to_overwrite(file, overwrite=overwrite)
        digest = sha256_of(draft)
        draft.replace(file)
    finally:
        draft.unlink(missing_ok=True)
    return digest


def refuse_to_overwrite(file: Path, *, overwrite: bool) -> None:
    if file.exists() and not overwrite:
        raise BackupError(
            f"{file} is there already: name another file, or say --overwrite."
        )


def sha256_of(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def check(file: Path) -> None:
    """Read all of the file, and see that this version knows what it was made by."""
    if not file.is_file():
        raise BackupError(f"There is no file {file}.")
    program = programs.find("pg_restore")
    programs.run([program, f"--file={os.devnull}", str(file)], heard=lambda _: None)
    listed = subprocess.run(  # noqa: S603
        [program, "--data-only", "--table=django_migrations", "--file=-", str(file)],
        capture_output=True,
        text=True,
        check=True,
    )
    rows = [line.split("\t") for line in listed.stdout.splitlines() if "\t" in line]
    made_by = {(row[1], row[2]) for row in rows}
    if not made_by:
        raise BackupError(f"{file} is no backup of this product.")
    unknown = made_by - known_migrations()
    if unknown:
        names = ", ".join(sorted(".".join(each) for each in unknown))
        raise BackupError(
            f"{file} was made by a newer version: this one has no migration {names}."
        )


def known_migrations() -> set[tuple[str, str]]:
    return set(MigrationLoader(None).disk_migrations)


def refuse_while_used() -> None:
    """Nobody may write while the database is replaced, nor go on from what it held."""
    with _owner() as owner:
        live: list[object] = []
        with suppress(psycopg.errors.UndefinedTable), owner.transaction():
            live = [row[0] for row in owner.execute(_LIVE).fetchall()]
        if live:
            raise BackupError(
                f"Workers are live ({', '.join(map(str, live))}): end them and the site first,"
                " or say --while-running."
            )
        sessions = _sessions_that_stay(owner)
        if sessions:
            who = ", ".join(
                f"{count} of {role} {name}".strip() for role, name, count in sessions
            )
            raise BackupError(
                f"The database is in use ({who}): end the workers and the site first, or say"
                " --while-running."
            )


def _sessions_that_stay(owner: Owner) -> list[tuple[object, ...]]:
    """PostgreSQL ends the session of a process that has just ended a moment after it."""
    deadline_s = time.monotonic() + SESSION_ENDS_S
    while sessions := owner.execute(_SESSIONS).fetchall():
        if time.monotonic() > deadline_s:
            break
        time.sleep(LOOK_S)
    return sessions


def refuse_what_is_not_empty() -> None:
    with _owner() as owner:
        count = len(owner.execute(_RELATIONS).fetchall())
    if count:
        raise BackupError(
            f"The database has {count} tables. --replace drops all of them first; make a"
            " backup of it before."
        )


def read(file: Path, *, report: Report) -> None:
    """Replace what is there by what the file holds, as the role that owns it."""
    with _owner() as owner:
        _drop_everything(owner)
    programs.run(
        [
            programs.find("pg_restore"),
            *("--schema=public", "--no-owner", "--no-privileges", "--verbose"),
            *("--single-transaction", "--exit-on-error"),
            programs.database(),
            str(file),
        ],
        heard=_progress(report),
    )
    with _owner() as owner:
        owner.execute("ANALYZE")
    connections["owner"].close()


def _drop_everything(owner: Owner) -> None:
    """Also what the backup does not have, for newer tables refer to older ones."""
    owner.execute(f"SET lock_timeout = '{LOCK_TIMEOUT}'")
    with owner.transaction():
        for name, kind in owner.execute(_RELATIONS).fetchall():
            owner.execute(
                sql.SQL("DROP {} IF EXISTS public.{} CASCADE").format(
                    sql.SQL(_KINDS[str(kind)]), sql.Identifier(str(name))
                )
            )
        for (signature,) in owner.execute(_FUNCTIONS).fetchall():
            drop = f"DROP FUNCTION IF EXISTS {signature} CASCADE"
            owner.execute(drop.encode())


def _owner() -> Owner:
    return psycopg.connect(conninfo("owner"), autocommit=True, connect_timeout=5)


def _progress(report: Report) -> Callable[[str], None]:
    tables = 0

    def hear(line: str) -> None:
        nonlocal tables
        if entry := _ENTRY.search(line):
            tables += 1
            report(f"{tables}: {entry[1]}")

    return hear
