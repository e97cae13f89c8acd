"""Agents in a real Celery worker: a process that is asked, paused, cut off and ended."""

import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import click
import msgspec
import pytest
from celery import Celery
from django.conf import settings
from django.db import DatabaseError
from kombu.exceptions import OperationalError
from psycopg.conninfo import conninfo_to_dict

from agents import cloudevents, host
from agents.broker import Producer
from agents.events import UserMessage
from agents.runtime import Runtime
from controlplane.audit.models import Entry
from controlplane.celery import record_switch
from controlplane.embedded.services import Services
from tests.agents.stage import envelope
from tests.e2e.product import Process, Product
from tests.waiting import wait_for

STATE = SimpleNamespace(hostname="celery@here")  # what Celery hands to a command


@pytest.fixture(scope="module")
def product(workerless: Product) -> Product:
    """No other worker answers or has partitions."""
    return workerless


@pytest.fixture(scope="module")
def worker(product: Product) -> Iterator[Process]:
    process = product.start_worker("input-guard,relay")
    yield process
    process.end()


def celery(product: Product, *arguments: str) -> subprocess.CompletedProcess[str]:
    return product.run("-m", "celery", "-A", "controlplane", *arguments)


def ask(product: Product, command: str, **arguments: Any) -> Any:
    """Return what the first worker answers to a remote command, once one does."""
    [answer] = wait_for(
        lambda: _answer(product, command, arguments), timeout_s=30, what=command
    )
    return answer


def _answer(product: Product, command: str, arguments: dict[str, Any]) -> Any:
    try:
        with Celery(broker=product.env["REDIS_URL"]) as app, app.connection() as link:
            answers = app.control.broadcast(
                command, arguments, reply=True, timeout=2, limit=1, connection=link
            )
    except (OSError, OperationalError):  # Valkey is away
        return None
    return [said for answer in answers or [] for said in answer.values()]


def agents_of(product: Product) -> dict[str, dict[str, Any]]:
    return {status["agent"]: status for status in ask(product, "agents")}


def test_a_worker_hosts_the_agents_it_was_given_and_tells_what_they_do(
    product: Product, worker: Process
) -> None:
    agents = agents_of(product)

    assert list(agents) == ["input-guard", "relay"]
    _is_running(product)
    _has_all_partitions(product)


def _has_all_partitions(product: Product) -> None:
    """Those of a worker that has just ended come back with the next heartbeats."""
    wait_for(
        lambda: agents_of(product)["input-guard"]["partitions"] == 6,
        timeout_s=20,
        what="the agent has all partitions",
    )


def test_an_agent_of_one_worker_is_paused_and_let_go_on(
    product: Product, worker: Process
) -> None:
    assert ask(product, "pause_agents", names=["input-guard"]) == {
        "ok": ["input-guard"]
    }
    paused = agents_of(product)["input-guard"]
    assert (paused["state"], paused["why"]) == ("held", "paused by remote control")

    assert ask(product, "resume_agents") == {"ok": ["input-guard"]}
    _is_running(product)


def _is_running(product: Product) -> None:
    """Held for a moment also while what it must obey is not fresh enough, on a busy machine."""
    wait_for(
        lambda: agents_of(product)["input-guard"]["state"] == "running",
        timeout_s=10,
        what="the agent runs",
    )


def test_what_remote_control_did_is_in_the_audit_log(
    product: Product, worker: Process
) -> None:
    [[before]] = product.sql("SELECT coalesce(max(id), 0) FROM audit_entry")

    ask(product, "pause_agents", names=["input-guard", "nobody"])
    ask(product, "resume_agents", names=["input-guard"])

    rows = product.sql(
        "SELECT actor, action, subject, detail->>'worker' LIKE 'celery@%%'"
        " FROM audit_entry WHERE id > %s",
        before,
    )
    # Asked again where no answer came in time, it is there again.
    assert set(rows) == {
        ("remote control", "agent_paused", "agent:input-guard", True),
        ("remote control", "agent_resumed", "agent:input-guard", True),
    }


@pytest.mark.long
def test_the_command_line_of_celery_asks_and_pauses(
    product: Product, worker: Process
) -> None:
    agents_of(product)  # it listens, also after Valkey was away: this command asks once

    paused = celery(
        product, "control", "pause_agents", "input-guard", "-t", "2", "--json"
    )
    assert "'ok': ['input-guard']" in paused.stdout.replace('"', "'")

    assert "input-guard" in celery(product, "inspect", "agents", "-t", "2").stdout
    assert ask(product, "resume_agents", names=["input-guard", "relay"]) == {
        "ok": ["input-guard"]
    }


@pytest.mark.long
def test_a_restart_of_valkey_ends_neither_the_worker_nor_its_agents(
    product: Product, worker: Process, services: Services
) -> None:
    assert services.valkey is not None
    instance = "SELECT instance FROM runtime_heartbeat WHERE pid = %s"
    [before] = product.sql(instance, worker.pid)
    try:
        services.valkey.kill()
        wait_for(
            lambda: product.sql(
                "SELECT 1 FROM runtime_heartbeat WHERE instance = %s AND seen_at > now()"
                " - interval '1 s'",
                before[0],
            ),
            what="it beats without Valkey",
        )
    finally:
        services.valkey.start()

    assert worker.is_running
    assert product.sql(instance, worker.pid) == [before]
    _has_all_partitions(product)


@pytest.mark.long  # it waits for a time limit
def test_without_postgresql_remote_control_says_that_it_does_nothing(
    product: Product, worker: Process, services: Services
) -> None:
    assert services.postgres is not None
    agents_of(product)
    try:
        services.postgres.stop()
        refused = celery(
            product, "control", "pause_agents", "relay", "-t", "10", "-d", worker.node
        )
    finally:
        services.postgres.start()

    assert "the audit log cannot be written, nothing changed" in refused.stdout
    wait_for(
        lambda: agents_of(product)["relay"]["state"] == "running",
        timeout_s=20,
        what="the agent goes on with PostgreSQL",
    )


def test_a_term_signal_drains_the_worker_within_ten_seconds_and_removes_its_row(
    product: Product,
) -> None:
    process = product.start_worker("chat,platform")
    began_s = time.monotonic()

    process.signal(signal.SIGTERM)

    assert process.wait(20) == 0
    assert time.monotonic() - began_s < 10
    assert not product.sql(
        "SELECT 1 FROM runtime_heartbeat WHERE pid = %s", process.pid
    )


def ask_much(number: int) -> None:
    """Write what the agents are busy with for some seconds."""
    producer = Producer(settings.KAFKA)
    for _ in range(number):
        conversation = str(uuid4())
        message = UserMessage(conversation_id=conversation, text="Is it an E-Class?")
        producer.publish(
            "user.messages.raw",
            key=conversation.encode(),
            value=msgspec.json.encode(message),
            headers=cloudevents.encode_headers(envelope(type="UserMessage")),
            delivered=lambda error: None,
        )
    assert producer.flush(10) == 0


@pytest.mark.long
@pytest.mark.parametrize("away", ["freeze", "kill"])
def test_a_term_signal_ends_the_worker_within_ten_seconds_without_kafka(
    product: Product, services: Services, away: str
) -> None:
    assert services.kafka is not None
    [node] = services.kafka.nodes
    process = product.start_worker("chat,platform")
    ask_much(50)
    try:
        getattr(node, away)()
        began_s = time.monotonic()
        process.signal(signal.SIGTERM)

        assert process.wait(100) == 0
        took_s = time.monotonic() - began_s
    finally:
        node.thaw() if away == "freeze" else node.start()
    assert took_s < 10
    assert not product.sql(
        "SELECT 1 FROM runtime_heartbeat WHERE pid = %s", process.pid
    )


def test_an_unknown_agent_is_refused_with_a_sentence(product: Product) -> None:
    done = celery(product, "worker", "-P", "threads", "--agents", "nobody")

    assert done.returncode != 0
    said = done.stdout + done.stderr
    assert "no agent or workflow 'nobody'; there are: all, chat" in said
    assert "Traceback" not in said


def test_the_step_starts_the_agents_with_the_worker_and_stops_them_with_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: list[str] = []

    class Hosted:
        def start(self) -> None:
            told.append("start")

        def stop(self) -> None:
            told.append("stop")

    monkeypatch.setattr(host, "_hosted", None)
    monkeypatch.setattr(host, "make_runtime", lambda names: Hosted())
    step = host.AgentsStep(None, agents="gate")
    assert (step.names, step.enabled) == (["gate"], True)

    step.start(None)
    step.stop(None)
    step.terminate(None)

    assert told == ["start", "stop", "stop"]


def test_an_app_that_installs_it_knows_the_option(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(host, "_record", None)
    app = Celery("test")
    host.install(app, lambda worker, agents, is_paused: None)

    assert host.AgentsStep in app.steps["worker"]
    [option] = app.user_options["worker"]
    assert option.callback(None, option, "chat,gate") == "chat,gate"
    with pytest.raises(click.BadParameter, match="no agent or workflow 'nobody'"):
        option.callback(None, option, "nobody")


def test_a_worker_without_agents_hosts_none() -> None:
    step = host.AgentsStep(None, agents="")

    assert step.enabled is False
    assert host.agents(None) == []
    assert host.pause_agents(STATE) == {"error": ["this worker hosts no agents"]}
    step.stop(None)


class Seat:
    why = ""

    def pause(self, reason: str) -> None:
        self.why = reason


class Hosted:
    """A runtime as remote control sees it."""

    def __init__(self) -> None:
        self.seats = {"guard": Seat(), "gate": Seat()}

    def statuses(self) -> list[dict[str, Any]]:
        return [{"agent": "guard"}]


@pytest.fixture
def hosted(monkeypatch: pytest.MonkeyPatch) -> Hosted:
    made = Hosted()
    monkeypatch.setattr(host, "_hosted", made)
    monkeypatch.setattr(host, "_record", record_switch)
    return made


@pytest.mark.django_db(transaction=True)
def test_remote_control_names_only_the_agents_that_are_here(hosted: Hosted) -> None:
    assert host.agents(STATE) == [{"agent": "guard"}]
    assert host.pause_agents(STATE, ["guard", "nobody"]) == {"ok": ["guard"]}
    assert hosted.seats["guard"].why == "paused by remote control"
    assert host.resume_agents(STATE) == {"ok": ["guard", "gate"]}
    assert hosted.seats["guard"].why == ""

    seen = Entry.objects.order_by("pk").values_list("action", "subject", "detail")
    assert list(seen) == [
        ("agent_paused", "agent:guard", {"worker": "celery@here"}),
        ("agent_resumed", "agent:guard", {"worker": "celery@here"}),
        ("agent_resumed", "agent:gate", {"worker": "celery@here"}),
    ]


def test_remote_control_does_nothing_that_cannot_be_written_down(
    hosted: Hosted, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(worker: str, agents: list[str], is_paused: bool) -> None:  # noqa: FBT001
        raise DatabaseError("the server is away")

    monkeypatch.setattr(host, "_record", fail)

    [told] = host.pause_agents(STATE, ["guard"])["error"]

    assert (
        told == "the audit log cannot be written, nothing changed: the server is away"
    )
    assert hosted.seats["guard"].why == ""


def test_a_runtime_is_made_of_the_settings(
    services: Services, transactional_db: None, tmp_path: Path, settings: Any
) -> None:
    knowledge = tmp_path / "knowledge.md"
    knowledge.write_text("The E-Class costs 50,000.")
    settings.KNOWLEDGE_PATH = str(knowledge)

    runtime: Runtime = host.make_runtime(["relay"])

    assert runtime._knowledge == "The E-Class costs 50,000."
    assert conninfo_to_dict(host.conninfo())["dbname"] == "test_interlock"
    runtime._loop.close()
