"""Children that die are started again, and not for ever."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from controlplane.embedded import supervisor
from controlplane.embedded.pids import wait_until
from controlplane.embedded.processes import Child, ServiceError
from controlplane.embedded.supervisor import Supervisor


@pytest.fixture
def child(tmp_path: Path) -> Iterator[Child]:
    child = Child(
        name="worker", command=["sh", "-c", "echo at work; sleep 60"], data_dir=tmp_path
    )
    child.start()
    yield child
    child.stop()


def is_back(watcher: Supervisor, child: Child) -> bool:
    watcher.check()
    return child.is_running()


def test_a_child_that_died_is_named_and_started_again(child: Child) -> None:
    said: list[str] = []
    watcher = Supervisor([child], said.append)
    dead = child.pid
    child.kill()

    assert wait_until(lambda: is_back(watcher, child), seconds=10)

    assert child.pid != dead
    assert "worker ended by itself (exit code -9)" in said[0]
    assert str(child.log) in said[0]
    assert "starts again in 0.5 s" in said[0]
    assert said[1] == "worker runs again."


def test_a_child_that_cannot_start_ends_everything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "FIRST_PAUSE", 0.001)
    command = ["sh", "-c", "echo no luck; exit 3"]
    broken = Child(
        name="worker", command=command, data_dir=tmp_path, ready=lambda: False
    )
    with pytest.raises(ServiceError, match="exit code 3"):
        broken.start()
    said: list[str] = []
    watcher = Supervisor([broken], said.append)

    with pytest.raises(ServiceError, match=r"(?s)exit code 3.*no luck.*died too often"):
        wait_until(lambda: is_back(watcher, broken), seconds=10)

    assert len(said) == 5


def test_a_child_that_runs_is_left_alone(child: Child) -> None:
    said: list[str] = []
    pid = child.pid

    Supervisor([child], said.append).check()

    assert said == []
    assert child.pid == pid
