"""Kafka's jars: fetched once for every checkout of this user, by exact coordinates, checked by hash."""

import fcntl
import hashlib
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import NamedTuple

from controlplane.embedded.processes import ServiceError

LOCK = Path(__file__).with_name("kafka-jars.txt")
AT_ONCE = 8


class Jar(NamedTuple):
    group: str
    artifact: str
    version: str
    sha256: str

    def path(self, repository: Path) -> Path:
        folder = repository.joinpath(
            *self.group.split("."), self.artifact, self.version
        )
        return folder / f"{self.artifact}-{self.version}.jar"

    def is_whole(self, repository: Path) -> bool:
        try:
            with self.path(repository).open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest() == self.sha256
        except OSError:
            return False


def cache_dir() -> Path:
    if own := os.environ.get("INTERLOCK_CACHE_DIR"):
        return Path(own)
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "interlock"


def locked() -> list[Jar]:
    lines = [line for line in LOCK.read_text().splitlines() if not line.startswith("#")]
    pairs = [line.split(" sha256:") for line in lines]
    return [
        Jar._make([*coordinates.split(":"), sha256]) for coordinates, sha256 in pairs
    ]


def kafka_version() -> str:
    return next(jar.version for jar in locked() if jar.artifact == "kafka-clients")


def class_path(report: Callable[[str], None]) -> str:
    """Return Java's class path, after fetching whatever is missing or damaged."""
    repository = cache_dir() / "jars"
    repository.mkdir(parents=True, exist_ok=True)
    with (repository / ".lock").open("w") as lock:
        fcntl.flock(
            lock, fcntl.LOCK_EX
        )  # two first starts at once: one fetches, one waits
        _fetch_missing(repository, report)
    return os.pathsep.join(str(jar.path(repository)) for jar in locked())


def _fetch_missing(repository: Path, report: Callable[[str], None]) -> None:
    with ThreadPoolExecutor(AT_ONCE) as pool:
        whole = pool.map(lambda jar: jar.is_whole(repository), locked())
        missing = [jar for jar, ok in zip(locked(), whole, strict=True) if not ok]
        if not missing:
            return
        report(f"Kafka: fetching {len(missing)} of its {len(locked())} jars ...")
        fetched = [pool.submit(_fetch, jar, repository) for jar in missing]
        try:
            for number, future in enumerate(as_completed(fetched), start=1):
                future.result()
                if number % 10 == 0 or number == len(missing):
                    report(f"Kafka: {number} of {len(missing)} jars fetched")
        finally:
            pool.shutdown(cancel_futures=True)  # after a failure the rest is of no use
    for archive in cache_dir().glob("kafka-*.aot"):
        archive.unlink()  # made of the jars as they were


def _fetch(jar: Jar, repository: Path) -> None:
    reason = "its hash is not the locked one"
    for _attempt in range(2):
        jar.path(repository).unlink(missing_ok=True)
        try:
            _download(jar, repository)
        except (OSError, RuntimeError) as error:  # requests' errors are OSErrors
            reason = str(error)
        else:
            if jar.is_whole(repository):
                return
            reason = "its hash is not the locked one"
    jar.path(repository).unlink(missing_ok=True)
    raise ServiceError(
        f"Kafka's {jar.artifact} {jar.version} could not be fetched from Maven Central: {reason}. "
        "Check the network and start again, or give KAFKA_BOOTSTRAP_SERVERS of a Kafka of your own."
    )


def _download(jar: Jar, repository: Path) -> None:
    from jgo.maven import MavenContext  # noqa: PLC0415  slow to import, and needed once

    context = MavenContext(repo_cache=repository)
    context.project(jar.group, jar.artifact).at_version(
        jar.version
    ).artifact().resolve()
