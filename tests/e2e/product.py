"""The product as its users have it: processes, a database to look into, a model to script."""

import json
import os
import secrets
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

from tests.ports import own_port
from tests.waiting import wait_for

ROOT = Path(__file__).resolve().parent.parent.parent


# Products of one process may share a database, and so its people.
PASSWORD = secrets.token_urlsafe(12)


class Process:
    """A child with its output in a file; ended by its own pid."""

    def __init__(
        self, name: str, command: list[str], env: dict[str, str], logs: Path
    ) -> None:
        self.name = name
        self.node = ""  # of a worker, as remote control calls it
        self.log = logs / f"{name}-{time.monotonic_ns()}.log"
        with self.log.open("wb") as output:
            self._popen = subprocess.Popen(
                command,
                cwd=ROOT,
                env=env,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.pid = self._popen.pid

    def signal(self, number: signal.Signals) -> None:
        self._popen.send_signal(number)

    def wait(self, timeout_s: float = 30) -> int:
        return self._popen.wait(timeout_s)

    @property
    def is_running(self) -> bool:
        return self._popen.poll() is None

    def ask_to_end(self) -> None:
        self.signal(signal.SIGTERM)
        self.signal(signal.SIGCONT)  # a frozen process cannot end

    def end(self) -> None:
        self.ask_to_end()
        try:
            self.wait(30)
        except subprocess.TimeoutExpired:
            self.signal(signal.SIGKILL)
            self.wait(10)


class Product:
    """Processes of the product on given services."""

    def __init__(self, environment: dict[str, str], logs: Path) -> None:
        logs.mkdir(parents=True, exist_ok=True)
        self.logs = logs
        self.env = (
            os.environ
            | environment
            | {"DJANGO_SETTINGS_MODULE": "controlplane.settings"}
        )
        # As fast as it is: what it runs is measured where it is tested by itself.
        self.env.pop("COVERAGE_PROCESS_CONFIG", None)
        self.password = PASSWORD
        self.port = 0
        self.worker_program = ("-m", "celery")
        self._processes: list[Process] = []
        self._usual: Process | None = None

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def socket_url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/ws/chat/"

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run Python with these arguments to its end, as part of the product."""
        return subprocess.run(
            [sys.executable, *command],
            cwd=ROOT,
            env=self.env,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def manage(self, *arguments: str) -> str:
        done = self.run("manage.py", *arguments)
        assert done.returncode == 0, done.stderr + done.stdout
        return done.stdout

    def prepare(self) -> None:
        self.manage("prepare")
        self.switch_automatic_stops_off()
        # Processes that earlier tests had started on this database may have engaged one.
        self.sql_only("TRUNCATE stops_stop CASCADE")
        self.seed()

    def switch_automatic_stops_off(self) -> None:
        """Tests flag more of what is said than any rule lets pass, and would stop each other."""
        self.sql_only("UPDATE stops_stoprule SET is_on = false")

    def seed(self) -> None:
        file = self.logs / "password"
        file.write_text(self.password)
        self.manage("seed_demo", "--no-talk", "--password-file", str(file))

    def start(self, name: str, *command: str) -> Process:
        process = Process(name, [sys.executable, *command], self.env, self.logs)
        self._processes.append(process)
        return process

    def start_web(self) -> Process:
        self.port = own_port(8300)
        web = self.launch_web(self.port)
        wait_for(lambda: self.get("/healthz")[0] == 200, timeout_s=30, what="the site")
        return web

    def launch_web(self, port: int) -> Process:
        """Start one more site; it may take a while until it answers."""
        web = ("-m", "controlplane.web", "-b", "127.0.0.1", "-p", str(port))
        return self.start("web", *web, "controlplane.asgi:application")

    def start_beat(self) -> Process:
        schedule = self.logs / f"celerybeat-schedule-{time.monotonic_ns()}"
        beat = ("-m", "celery", "-A", "controlplane", "beat", "--schedule")
        return self.start("beat", *beat, str(schedule))

    def launch_worker(self, agents: str = "all") -> Process:
        """Start a worker; it may take a while until it has its partitions."""
        celery = ("-A", "controlplane", "worker", "-P", "threads")
        name = f"worker-{time.monotonic_ns()}"
        worker = self.start(
            "worker",
            *self.worker_program,
            *celery,
            "-n",
            name,
            "--agents",
            agents,
            "--loglevel",
            "warning",
        )
        worker.node = f"celery@{name}"
        return worker

    def start_worker(self, agents: str = "all") -> Process:
        worker = self.launch_worker(agents)
        wait_for(
            lambda: self.hosts(worker.pid), timeout_s=30, what="the worker's agents"
        )
        return worker

    def ensure_worker(self) -> None:
        """Have one worker for everything: the one there is, if it is that."""
        if [self._usual] != self._workers():
            self.end_workers()
            self._usual = self.start_worker()

    def end_workers(self) -> None:
        for process in self._workers():
            process.end()

    def _workers(self) -> list[Process]:
        return [p for p in self._processes if p.name == "worker" and p.is_running]

    def python(self, code: str) -> str:
        """Run code in a process of its own, with Django set up."""
        done = self.run("-c", f"import django; django.setup()\n{code}")
        assert done.returncode == 0, done.stderr
        return done.stdout

    def hosts(self, pid: int) -> bool:
        """Tell whether the process said that each of its agents has its partitions."""
        rows = self.sql("SELECT agents FROM runtime_heartbeat WHERE pid = %s", pid)
        return bool(rows) and all(
            agent["partitions"] > 0 or agent["agent"] in {"mailer", "relay", "tripwire"}
            for agent in rows[0][0]
        )

    def end(self) -> None:
        for process in reversed(self._processes):
            process.ask_to_end()
        for process in reversed(self._processes):
            process.end()

    def get(self, path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(self.base_url + path, timeout=10) as answer:  # noqa: S310
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError as error:
            return 0, str(error)

    def sql(self, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Look into the database as its owner."""
        url = self.env["DATABASE_OWNER_URL"]
        with psycopg.connect(url, autocommit=True) as connection:
            return connection.execute(statement, parameters).fetchall()

    def sql_only(self, statement: str) -> None:
        """Change the database as its owner."""
        url = self.env["DATABASE_OWNER_URL"]
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(statement.encode())

    # The demo model

    def script(self, **script: Any) -> None:
        self._control("POST", "/control/script", script)

    def forget_scripts(self) -> None:
        self._control("DELETE", "/control/script")

    def asked(self, match: str) -> list[dict[str, Any]]:
        """Return the model calls whose question holds match."""
        return [
            request
            for request in self.requests(match)
            if request["path"].endswith("completions")
        ]

    def requests(self, match: str = "") -> list[dict[str, Any]]:
        """Return those whose question holds match, or all: those for vectors and scores have none."""
        query = urllib.parse.urlencode({"match": match, "limit": 100_000})
        answer = self._control("GET", f"/control/requests?{query}")
        requests: list[dict[str, Any]] = answer["requests"]
        return requests

    def _control(self, method: str, path: str, body: Any = None) -> Any:
        base = self.env["OPENAI_BASE_URL"].removesuffix("/v1")
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(base + path, data, method=method)  # noqa: S310
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
            return json.load(answer)

    def topics_of(self, trace_id: str) -> list[str]:
        rows = self.sql(
            "SELECT topic FROM traces_record WHERE trace_id = %s ORDER BY at", trace_id
        )
        return [row[0] for row in rows]


@contextmanager
def running(product: Product) -> Iterator[Product]:
    try:
        yield product
    finally:
        product.end()
