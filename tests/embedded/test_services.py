"""The services as a whole: what survives a stop, a crash of the launcher, a second start."""

import json
import os
import socket
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from signal import SIGSTOP

import psycopg
import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from controlplane.embedded import pids, services
from controlplane.embedded.kafka import Kafka
from controlplane.embedded.processes import ServiceError
from controlplane.embedded.valkey import url
from tests.embedded.launching import VARIABLES, launcher, running, want
from tests.ports import own_port


@pytest.fixture
def data_dir(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "run"
    services.remove(tmp_path / "run")


def write(environment: dict[str, str]) -> None:
    with psycopg.connect(environment["DATABASE_OWNER_URL"]) as connection:
        connection.execute("CREATE TABLE kept (word text)")
        connection.execute("INSERT INTO kept VALUES ('kept')")
    address: dict[str, str | int | float | bool] = {
        "bootstrap.servers": environment["KAFKA_BOOTSTRAP_SERVERS"]
    }
    admin = AdminClient(address)  # has to outlive what it is asked
    [created] = admin.create_topics([NewTopic("kept", 1)]).values()
    created.result(10)
    producer = Producer(address)
    producer.produce("kept", b"kept")
    assert producer.flush(10) == 0


def assert_is_there(environment: dict[str, str]) -> None:
    with psycopg.connect(environment["DATABASE_OWNER_URL"]) as connection:
        assert connection.execute("SELECT word FROM kept").fetchall() == [("kept",)]
    address = environment["KAFKA_BOOTSTRAP_SERVERS"]
    settings = {
        "bootstrap.servers": address,
        "group.id": "tests",
        "auto.offset.reset": "earliest",
    }
    consumer = Consumer(settings | {"group.protocol": "consumer"})
    consumer.subscribe(["kept"])
    record = consumer.poll(20)
    consumer.close()
    assert record is not None
    assert record.error() is None
    assert record.value() == b"kept"


@pytest.mark.long
def test_data_and_ports_are_the_same_after_a_stop(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    want(monkeypatch, "postgres", "valkey", "kafka")
    with running(data_dir) as first:
        write(first.environment)
        old = [child.pid for child in first.children]
    assert [pids.look(pid) for pid in old] == [None, None, None]

    with running(data_dir) as second:
        assert second.environment == first.environment
        assert_is_there(second.environment)


@pytest.mark.long
def test_a_killed_launcher_leaves_nothing_that_hinders_the_next(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    want(monkeypatch, "postgres", "valkey", "kafka")
    with running(data_dir) as first:
        write(first.environment)
    with launcher(data_dir) as process:
        process.kill()
        process.wait()
        files = sorted((data_dir / "pids").glob("*.json"))
        left = {file.stem: json.loads(file.read_text())["pid"] for file in files}
        assert all(pids.look(pid) for pid in left.values())
        os.kill(left["valkey"], SIGSTOP)  # a frozen one as well

    with running(data_dir) as second:
        assert sorted(left) == ["kafka", "postgres", "valkey"]
        assert [pids.look(pid) for pid in left.values()] == [None, None, None]
        assert second.environment == first.environment
        assert_is_there(second.environment)


def test_a_process_that_took_the_pid_of_one_of_ours_is_left_alone(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    want(monkeypatch)
    (data_dir / "pids").mkdir(parents=True)
    record = {"pid": os.getpid(), "started": "long ago", "signal": 9, "seconds": 1}
    (data_dir / "pids" / "valkey.json").write_text(json.dumps(record))

    with running(data_dir):
        assert not list((data_dir / "pids").iterdir())


def test_kafka_starts_with_a_cluster_id_that_begins_with_a_dash(
    tmp_path: Path,
) -> None:
    ports = [(own_port(9600), own_port(9650))]
    folders = (Kafka(tmp_path / str(n), ports) for n in count())
    kafka = next(one for one in folders if one._cluster_id().startswith("-"))
    try:
        kafka.start(lambda _line: None)
        assert kafka.nodes[0].ready()
    finally:
        kafka.stop()


def test_a_second_start_on_the_same_folder_is_refused(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    want(monkeypatch, "valkey")
    with (
        running(data_dir) as first,
        pytest.raises(ServiceError, match=f"process {os.getpid()}"),
    ):
        services.start(data_dir)

    assert first.valkey
    assert not first.valkey.is_running()


def test_a_taken_port_is_left_alone(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    want(monkeypatch, "valkey")
    with running(data_dir) as first:
        port = int(first.environment["REDIS_URL"].rpartition(":")[2].removesuffix("/0"))
    with socket.create_server(("127.0.0.1", port)), running(data_dir) as second:
        elsewhere = second.environment["REDIS_URL"]
        assert elsewhere != url(port)

    with running(data_dir) as third:
        assert third.environment["REDIS_URL"] == elsewhere


def test_two_folders_run_side_by_side(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    want(monkeypatch, "valkey")
    with running(data_dir) as one, running(tmp_path / "other") as other:
        assert one.environment != other.environment


def test_removing_a_folder_removes_what_runs_below_it(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    want(monkeypatch, "valkey")
    with launcher(data_dir / "below") as process:
        process.kill()
        process.wait()
        record = json.loads((data_dir / "below" / "pids" / "valkey.json").read_text())

    services.remove(data_dir)

    assert not data_dir.exists()
    assert pids.look(record["pid"]) is None


def test_a_folder_in_use_is_not_removed(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    want(monkeypatch, "valkey")
    with running(data_dir / "below") as used:
        with pytest.raises(ServiceError, match="already run from"):
            services.remove(data_dir)

        assert used.valkey
        assert used.valkey.ready()


def test_what_has_an_address_is_not_started(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    want(monkeypatch)
    with running(data_dir) as nothing:
        assert nothing.environment == {}
        assert nothing.children == []


def test_what_has_its_address_in_a_file_is_not_started(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    want(monkeypatch, *VARIABLES)
    for variables in VARIABLES.values():
        for variable in variables:
            monkeypatch.setenv(f"{variable}_FILE", "/run/secrets/address")
    with running(data_dir) as nothing:
        assert nothing.children == []


def test_the_demo_model_answers(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    want(monkeypatch, "model")
    with running(data_dir) as started:
        assert started.environment["OPENAI_BASE_URL"].endswith("/v1")
        assert started.environment["OPENAI_API_KEY"] == "demo"
        assert started.model
        assert started.model.ready()


def test_beside_a_model_of_ones_own_the_demo_model_has_the_scores(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    want(monkeypatch, "model")
    monkeypatch.setenv("OPENAI_BASE_URL", "https://models.example/v1")
    with running(data_dir) as started:
        told = started.environment

    assert set(told) == {"INTERLOCK_EMBEDDINGS_URL", "INTERLOCK_MODERATION_URL"}


def test_one_failure_stops_the_others_and_shows_its_log(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    want(monkeypatch, "postgres", "valkey")
    with running(data_dir) as first:
        assert first.postgres
        (first.postgres.cluster / "postgresql.auto.conf").write_text(
            "no_such_setting = 1\n"
        )

    with pytest.raises(
        ServiceError, match=r"(?s)postgres ended .*postgres\.log.*no_such_setting"
    ):
        services.start(data_dir)

    assert not list((data_dir / "pids").iterdir())
