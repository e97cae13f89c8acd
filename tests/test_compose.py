"""docker-compose.yml as it stands: what it names is there, and every command of ours runs on real services."""

import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
import yaml

from agents import alive
from controlplane.embedded.kafka import SETTINGS
from controlplane.embedded.services import Services
from tests.e2e.product import ROOT, Process, Product, running
from tests.ports import own_port
from tests.waiting import wait_for

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
OURS = {name: each for name, each in COMPOSE["services"].items() if "build" in each}
IMAGES = {name: each for name, each in COMPOSE["services"].items() if "image" in each}
SCHEDULE = "/tmp/celerybeat-schedule"  # noqa: S108  # in the container
# What depends on the address that a container has.
ADDRESSES = {
    "KAFKA_LISTENERS",
    "KAFKA_ADVERTISED_LISTENERS",
    "KAFKA_CONTROLLER_QUORUM_VOTERS",
    "KAFKA_LOG_DIRS",
    "KAFKA_NODE_ID",
}


def test_what_is_depended_on_is_there_and_can_say_that_it_is_healthy() -> None:
    for service in COMPOSE["services"].values():
        for name, wanted in service.get("depends_on", {}).items():
            other = COMPOSE["services"][name]
            if wanted["condition"] == "service_healthy":
                assert "healthcheck" in other


def test_images_are_pinned_and_volumes_declared() -> None:
    assert set(IMAGES) == {"kafka", "postgres", "valkey"}
    for service in IMAGES.values():
        assert re.fullmatch(r"[\w./-]+:[\w.-]*\d[\w.-]*", service["image"])
        for volume in service.get("volumes", []):
            assert volume.partition(":")[0] in COMPOSE["volumes"]


def test_nothing_prevents_any_number_of_workers() -> None:
    worker = OURS["worker"]

    assert not worker.keys() & {"container_name", "hostname", "ports", "scale"}
    assert "-n" not in shlex.split(
        worker["command"]
    )  # two of one name are one to Celery


def test_what_keeps_data_has_a_volume_and_whoever_goes_on_says_how_it_is() -> None:
    assert all(IMAGES[name].get("volumes") for name in ("kafka", "postgres"))
    lasting = COMPOSE["services"].keys() - {"prepare"}
    assert {name for name in lasting if "healthcheck" in COMPOSE["services"][name]} == (
        lasting
    )


def test_kafka_is_set_up_as_on_one_machine() -> None:
    given = {
        name.removeprefix("KAFKA_").lower().replace("_", "."): str(value)
        for name, value in IMAGES["kafka"]["environment"].items()
        if name not in ADDRESSES
    }
    embedded = dict(
        line.split("=", 1)
        for line in SETTINGS.format(
            number=1,
            voters="",
            host="",
            port="",
            controller_port="",
            copies=1,
            in_sync=1,
        ).splitlines()
    )

    assert {name: embedded[name] for name in given} == given


def test_no_secret_is_written_down() -> None:
    for name, value in OURS["web"]["environment"].items():
        if "SECRET" in name or "PASSWORD" in str(value):
            assert ":?" in str(value), name


def command(name: str, **replaced: str) -> list[str]:
    """Return the service's command for this machine: its own Python, and free ports."""
    program, *arguments = shlex.split(OURS[name]["command"])
    if program == "celery":
        arguments = ["-m", "celery", *arguments]
    else:
        assert program == "python"
    return [replaced.get(argument, argument) for argument in arguments]


@pytest.fixture
def product(services: Services, tmp_path: Path) -> Any:
    named = OURS["web"]["environment"]
    assert services.environment.keys() <= named.keys()  # each has its address
    environment = services.environment | {
        name: str(value)
        for name, value in named.items()
        if name not in services.environment and "${" not in str(value)
    }
    with running(Product(environment, tmp_path / "logs")) as started:
        yield started


def test_every_command_of_ours_runs(product: Product, tmp_path: Path) -> None:
    ran = set()

    prepared = product.start("prepare", *command("prepare"))
    assert prepared.wait(60) == 0, prepared.log.read_text()
    ran.add("prepare")

    port, model_port = str(own_port(8500)), str(own_port(8600))
    here = {"0.0.0.0": "127.0.0.1"}  # noqa: S104  # replaced, not listened on
    schedule = tmp_path / "schedule"
    product.start("web", *command("web", **here, **{"8000": port}))
    product.start("model", *command("model", **here, **{"8089": model_port}))
    worker = start_alive(product, "worker", tmp_path)
    beat = start_alive(product, "beat", tmp_path, **{SCHEDULE: str(schedule)})

    wait_for(healthy("web", "8000", port), timeout_s=30, what="the site is healthy")
    wait_for(healthy("model", "8089", model_port), what="the model is healthy")
    wait_for(lambda: product.hosts(worker.pid), timeout_s=30, what="the agents run")
    wait_for(lambda: list(tmp_path.glob("schedule*")), what="beat has its schedule")
    assert beat.is_running
    wait_for(lambda: is_alive(tmp_path, "worker"), what="the worker's word")
    wait_for(lambda: is_alive(tmp_path, "beat"), timeout_s=15, what="beat's word")
    frozen_says_nothing(worker, tmp_path)
    ran |= {"web", "model", "worker", "beat"}
    assert ran == set(OURS)


def start_alive(product: Product, name: str, folder: Path, **replaced: str) -> Process:
    """Start it with the file of its health check in the folder: each container has its own."""
    assert OURS[name]["environment"][alive.VARIABLE] == "/tmp/alive"  # noqa: S108
    product.env[alive.VARIABLE] = str(folder / f"alive-{name}")
    return product.start(name, *command(name, **replaced))


def is_alive(folder: Path, name: str) -> bool:
    """Run the service's own health check, with nothing around it."""
    program, *arguments = shlex.split(OURS[name]["healthcheck"]["test"])
    assert program == "python"
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={alive.VARIABLE: str(folder / f"alive-{name}")},
        check=False,
    )
    return done.returncode == 0


def frozen_says_nothing(worker: Process, folder: Path) -> None:
    file = folder / "alive-worker"
    worker.signal(signal.SIGSTOP)
    long_ago = file.stat().st_mtime - 2 * alive.FRESH_S
    os.utime(file, (long_ago, long_ago))
    assert not is_alive(folder, "worker")
    worker.signal(signal.SIGCONT)
    wait_for(lambda: is_alive(folder, "worker"), what="the thawed worker's word")


def healthy(name: str, inside: str, outside: str) -> Callable[[], bool]:
    """Return the service's own health check, at the port that it has here."""
    program, flag, code = shlex.split(OURS[name]["healthcheck"]["test"])
    assert (program, flag) == ("python", "-c")
    compile(code, "healthcheck", "exec")
    [address] = re.findall(r"'(http://[^']+)'", code)
    assert f":{inside}/" in address

    def answers() -> bool:
        try:
            with urlopen(address.replace(inside, outside), timeout=2) as answer:  # noqa: S310
                return bool(answer.status == 200)
        except OSError:
            return False

    return answers


def test_the_image_is_made_of_the_locked_requirements() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()

    assert f"FROM python:{sys.version_info.major}." in dockerfile
    assert "--require-hashes -r requirements/base.txt" in dockerfile
    assert dockerfile.rstrip().endswith("USER interlock")  # and nothing runs as root
    assert (ROOT / "requirements" / "base.txt").exists()
