"""Child processes that can be recognised, stopped, killed, frozen and started again."""

import json
import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from signal import SIGCONT, SIGSTOP, SIGTERM, Signals
from typing import TypedDict

from controlplane.embedded.pids import end, kill_tree, look, signal_tree, wait_until

LOG_LIMIT = 10_000_000  # bytes; a longer log is put aside at the next start
TAIL_LINES = 15


class ServiceError(Exception):
    """A service could not do what was asked; the text is for the person at the terminal."""


@dataclass
class Child:
    """One process in a session of its own, with a pid file and a log in the data directory."""

    name: str
    command: list[str]
    data_dir: Path
    ready: Callable[[], bool] = lambda: True
    environment: dict[str, str] = field(default_factory=dict)
    cwd: Path | None = None
    account: int | None = None  # uid and gid to run as; None: our own
    stop_signal: Signals = SIGTERM
    stop_seconds: float = 15
    start_seconds: float = 60
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)
    _log_start: int = 0

    @property
    def log(self) -> Path:
        return self.data_dir / "logs" / f"{self.name}.log"

    @property
    def pid_file(self) -> Path:
        return self.data_dir / "pids" / f"{self.name}.json"

    @property
    def pid(self) -> int:
        if self._process is None:
            raise ServiceError(f"{self.name} is not running.")
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        return None if self._process is None else self._process.poll()

    def is_running(self) -> bool:
        return self._process is not None and self.exit_code is None

    def start(self) -> None:
        """Return once the process answers; raise with its last words if it does not."""
        if self.is_running():
            return
        self._spawn()
        if not wait_until(self._has_settled, seconds=self.start_seconds):
            self.kill()
            late = f"{self.name} did not answer within {self.start_seconds:g} s."
            raise ServiceError(f"{late} {self.last_words()}")
        if not self.is_running():
            raise ServiceError(self.obituary())

    def stop(self) -> None:
        """Ask it to end and wait; what does not end in time is killed with all below it."""
        if self._process is not None:
            end(self._process.pid, self.stop_signal, self.stop_seconds)
            self._process.wait()
        self.pid_file.unlink(missing_ok=True)

    def kill(self) -> None:
        if self._process is not None:
            kill_tree(self._process.pid)
            self._process.wait()

    def freeze(self) -> None:
        signal_tree(self.pid, SIGSTOP)

    def thaw(self) -> None:
        signal_tree(self.pid, SIGCONT)

    def obituary(self) -> str:
        words = self.last_words()
        return f"{self.name} ended by itself (exit code {self.exit_code}). {words}"

    def last_words(self) -> str:
        return describe_log(self.log, since=self._log_start)

    def _spawn(self) -> None:
        self.log.parent.mkdir(parents=True, exist_ok=True)
        if self.log.exists() and self.log.stat().st_size > LOG_LIMIT:
            self.log.replace(self.log.with_suffix(".log.1"))
        with self.log.open("ab") as log:
            self._log_start = log.tell()
            self._process = subprocess.Popen(  # noqa: S603
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.cwd,
                env=os.environ | self.environment,
                start_new_session=True,
                **identity(self.account),
            )
        self._write_pid_file(self._process.pid)

    def _write_pid_file(self, pid: int) -> None:
        fact = look(pid)
        if fact is None:
            return  # it is dead already, and start() says so
        self.pid_file.parent.mkdir(parents=True, exist_ok=True)
        record = {"pid": pid, "started": fact.started}
        record |= {"signal": int(self.stop_signal), "seconds": self.stop_seconds}
        whole = self.pid_file.with_suffix(".new")
        whole.write_text(json.dumps(record))
        whole.replace(self.pid_file)

    def _has_settled(self) -> bool:
        return not self.is_running() or self.ready()


class Identity(TypedDict, total=False):
    user: int
    group: int
    extra_groups: list[str | int]


def identity(account: int | None) -> Identity:
    """The arguments of subprocess that make a child run as another account."""
    if account is None:
        return {}
    return {"user": account, "group": account, "extra_groups": []}


def describe_log(log: Path, *, since: int = 0) -> str:
    try:
        with log.open("rb") as file:
            file.seek(since)
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        lines = []
    tail = "\n".join(f"  {line}" for line in lines[-TAIL_LINES:])
    return f"Its log is {log}, " + (f"which ends:\n{tail}" if tail else "and is empty.")


def stop_leftovers(data_dir: Path) -> list[str]:
    """Stop what an earlier launcher left running, the last started first; return the names."""
    stopped = []
    files = (data_dir / "pids").glob("*.json")
    for file in sorted(files, key=lambda path: path.stat().st_mtime, reverse=True):
        record = json.loads(file.read_text())
        fact = look(record["pid"])
        if fact is not None and fact.started == record["started"]:
            end(fact.pid, record["signal"], record["seconds"])
            stopped.append(file.stem)
        file.unlink()
    return stopped
