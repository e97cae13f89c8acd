"""Each service killed, frozen and started again under the hands of a test."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from controlplane.embedded import pids, services
from controlplane.embedded.pids import wait_until
from controlplane.embedded.services import Services
from tests.embedded.launching import running, want


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    data_dir = tmp_path_factory.mktemp("faults") / "run"
    with pytest.MonkeyPatch.context() as monkeypatch:
        want(monkeypatch, "postgres", "valkey", "kafka")
        with running(data_dir) as everything:
            yield everything
    services.remove(data_dir)


@pytest.mark.parametrize("name", ["postgres", "valkey", "kafka"])
def test_a_frozen_service_answers_again_when_thawed(
    started: Services, name: str
) -> None:
    [child] = [child for child in started.children if child.name == name]
    pid = child.pid

    child.freeze()
    assert not child.ready()
    child.thaw()

    assert wait_until(child.ready, seconds=20)
    assert child.pid == pid


@pytest.mark.parametrize("name", ["postgres", "valkey", "kafka"])
def test_a_killed_service_starts_again_at_the_same_address(
    started: Services, name: str
) -> None:
    [child] = [child for child in started.children if child.name == name]
    pid, below = child.pid, pids.descendants(child.pid)

    child.kill()
    assert not child.is_running()
    assert not any(pids.look(gone) for gone in (pid, *below))
    assert not child.ready()
    child.start()

    assert child.ready()
    assert child.pid != pid


def test_a_stopped_service_starts_again(started: Services) -> None:
    assert started.kafka
    [node] = started.kafka.nodes

    node.stop()
    assert not node.pid_file.exists()
    node.start()

    assert node.ready()


def test_a_lock_file_of_postgres_with_the_pid_of_another_program_is_no_hindrance(
    started: Services,
) -> None:
    server = started.postgres
    assert server
    lock = server.cluster / "postmaster.pid"
    contents = lock.read_text().splitlines()
    server.kill()
    # A live process of the very account that PostgreSQL runs as, which it would take for a server.
    with subprocess.Popen(["sleep", "60"], user=server.account) as sleeper:
        lock.write_text("\n".join([str(sleeper.pid), *contents[1:]]))
        server.set_up_and_start()
        sleeper.kill()

    assert server.ready()


@pytest.mark.long
def test_three_nodes_of_kafka_go_on_without_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    want(monkeypatch, "kafka")
    with running(tmp_path / "run", kafka_nodes=3) as cluster:
        assert cluster.kafka
        first, second, third = cluster.kafka.nodes
        first.kill()
        assert second.ready()
        assert third.ready()
        first.start()
        assert first.ready()
