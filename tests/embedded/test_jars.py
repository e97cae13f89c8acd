"""Kafka's jars: every one is the locked one, or there is a word about it."""

import shutil
from pathlib import Path

import pytest

from controlplane.embedded import jars, wheels
from controlplane.embedded.processes import ServiceError


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    jars.class_path(lambda _line: None)
    shutil.copytree(jars.cache_dir() / "jars", tmp_path / "jars")
    monkeypatch.setenv("INTERLOCK_CACHE_DIR", str(tmp_path))
    return tmp_path / "jars"


def smallest(cache: Path) -> jars.Jar:
    return min(jars.locked(), key=lambda jar: jar.path(cache).stat().st_size)


def test_a_damaged_jar_is_fetched_again(cache: Path) -> None:
    jar = smallest(cache)
    with jar.path(cache).open("ab") as file:
        file.write(b"more")
    said: list[str] = []

    jars.class_path(said.append)

    assert jar.is_whole(cache)
    assert said == [
        "Kafka: fetching 1 of its 46 jars ...",
        "Kafka: 1 of 1 jars fetched",
    ]


def test_a_whole_cache_is_left_alone(cache: Path) -> None:
    said: list[str] = []

    path = jars.class_path(said.append)

    assert said == []
    assert len(path.split(":")) == 46
    assert all(entry.startswith(str(cache)) for entry in path.split(":"))


def test_a_jar_that_is_not_the_locked_one_is_refused(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jar = smallest(cache)
    monkeypatch.setattr(jars, "locked", lambda: [jar._replace(sha256="0" * 64)])

    with pytest.raises(
        ServiceError, match=f"{jar.artifact}.*hash is not the locked one"
    ):
        jars.class_path(lambda _line: None)

    assert not jar.path(cache).exists()


def test_a_platform_without_a_wheel_is_told_what_to_do() -> None:
    with pytest.raises(
        ServiceError, match="set REDIS_URL to the address of a server of your own"
    ):
        wheels.program("no_such_package", "bin/valkey-server", variable="REDIS_URL")
