"""Starts every backing service that has no address in the environment, and stops them together."""

import fcntl
import os
import shutil
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from controlplane.embedded import accounts, jars, model, postgres, valkey
from controlplane.embedded.kafka import Kafka
from controlplane.embedded.ports import Ports
from controlplane.embedded.postgres import Postgres
from controlplane.embedded.processes import Child, ServiceError, stop_leftovers

Report = Callable[[str], None]
Task = Callable[[], None]


@dataclass
class Services:
    """What runs for one data directory; a service with an address of its own elsewhere is None."""

    environment: dict[str, str] = field(default_factory=dict)
    postgres: Postgres | None = None
    valkey: Child | None = None
    kafka: Kafka | None = None
    model: Child | None = None
    ports: Ports | None = None
    _lock: IO[str] | None = None

    @property
    def children(self) -> list[Child]:
        single = [child for child in (self.postgres, self.valkey, self.model) if child]
        return [*single, *(self.kafka.nodes if self.kafka else [])]

    def stop(self) -> None:
        """Stop all at once, and let go of the data directory even if one does not end well."""
        running = (self.postgres, self.valkey, self.model, self.kafka)
        stops = [service.stop for service in running if service]
        try:
            _all_at_once(stops)
        finally:
            if self.ports:
                self.ports.release()
            if self._lock:
                self._lock.close()


def start(data_dir: Path, *, kafka_nodes: int = 1, report: Report = print) -> Services:
    """Return once everything answers; when one service fails, stop the rest and say why."""
    data_dir = data_dir.resolve()
    services = Services(_lock=_take(data_dir))
    try:
        for name in stop_leftovers(data_dir):
            report(f"{name}: stopped what an earlier start had left running")
        _all_at_once(_prepare(services, data_dir, kafka_nodes, report))
    except BaseException:
        services.stop()
        raise
    return services


def remove(data_dir: Path) -> None:
    """Stop what is left and remove the folder with everything that belongs to it.

    That includes folders of other launchers below it, such as that of the tests.
    """
    if not data_dir.exists():
        return
    data_dir = data_dir.resolve()
    with ExitStack() as locks:
        for folder in {data_dir, *(lock.parent for lock in data_dir.rglob("lock"))}:
            locks.enter_context(_take(folder))
            stop_leftovers(folder)
            shutil.rmtree(
                accounts.linked_target(folder / "postgres"), ignore_errors=True
            )
        shutil.rmtree(data_dir)


def _take(data_dir: Path) -> IO[str]:
    """Lock the data directory for this process: two launchers on one would destroy each other's work."""
    data_dir.mkdir(parents=True, exist_ok=True)
    lock = (data_dir / "lock").open("a+")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.seek(0)
        holder = lock.read()
        lock.close()
        raise ServiceError(
            f"Services already run from {data_dir} (process {holder}): stop them first, or give another --data-dir."
        ) from None
    lock.truncate(0)
    lock.write(str(os.getpid()))
    lock.flush()
    return lock


def _prepare(
    services: Services, data_dir: Path, kafka_nodes: int, report: Report
) -> list[Task]:
    """Fill in the services that are wanted, and return what starts each."""
    ports = services.ports = Ports(data_dir, jars.cache_dir() / "ports")
    tasks = []
    if _is_wanted("DATABASE_URL"):
        database = services.postgres = Postgres(
            data_dir, ports.choose("postgres", 5432)
        )
        services.environment["DATABASE_URL"] = database.url(postgres.APPLICATION)
        services.environment["DATABASE_OWNER_URL"] = database.url(postgres.OWNER)
        tasks.append(_timed("PostgreSQL", database.set_up_and_start, report))
    if _is_wanted("REDIS_URL"):
        port = ports.choose("valkey", 6379)
        services.valkey = valkey.prepare(data_dir, port)
        services.environment["REDIS_URL"] = valkey.url(port)
        tasks.append(_timed("Valkey", services.valkey.start, report))
    if _is_wanted("KAFKA_BOOTSTRAP_SERVERS"):
        kafka = services.kafka = Kafka(data_dir, _kafka_ports(ports, kafka_nodes))
        services.environment["KAFKA_BOOTSTRAP_SERVERS"] = kafka.bootstrap_servers
        tasks.append(_timed("Kafka", lambda: kafka.start(report), report))
    # Beside a model of one's own, the demo model still has the scores that are not asked elsewhere.
    if asked := [variable for variable in model.ASKED if _is_wanted(variable)]:
        port = ports.choose("model", 8089)
        services.model = model.prepare(data_dir, port)
        services.environment |= dict.fromkeys(asked, model.url(port))
        if "OPENAI_BASE_URL" in asked:
            services.environment["OPENAI_API_KEY"] = "demo"
        tasks.append(_timed("Demo model", services.model.start, report))
    return tasks


def _is_wanted(variable: str) -> bool:
    """An address elsewhere is given as it is, or in a file."""
    return not any(os.environ.get(name) for name in (variable, f"{variable}_FILE"))


def _kafka_ports(ports: Ports, nodes: int) -> list[tuple[int, int]]:
    """A port for clients and one for the controllers, for each node."""
    numbers = range(1, nodes + 1)
    return [
        (
            ports.choose(f"kafka-{n}", 9090 + 2 * n),
            ports.choose(f"controller-{n}", 9091 + 2 * n),
        )
        for n in numbers
    ]


def _timed(name: str, task: Task, report: Report) -> Task:
    def run() -> None:
        began = time.monotonic()
        task()
        report(f"{name} ready in {time.monotonic() - began:.1f} s")

    return run


def _all_at_once(tasks: list[Task]) -> None:
    """Run each in a thread, wait for all of them, then raise the first error there was."""
    if not tasks:
        return
    with ThreadPoolExecutor(len(tasks)) as pool:
        futures = [pool.submit(task) for task in tasks]
    for future in futures:
        future.result()
