"""manage.py stop: with PostgreSQL alone, and a word for when that is away too."""

import os
import re
import subprocess
import sys
from io import StringIO

import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from agents.host import conninfo
from controlplane.audit.models import Entry
from controlplane.stops import actions
from controlplane.stops.management.commands import stop as command
from controlplane.stops.models import Stop
from tests.e2e.product import ROOT
from tests.effects.making import make_effect
from tests.factories import make_turn
from tests.home.making import make_heartbeat
from tests.moderation.rows import database_url
from tests.stops.test_stops import deliver

pytestmark = pytest.mark.django_db(transaction=True)


def run(*arguments: str) -> str:
    said = StringIO()
    call_command("stop", *arguments, stdout=said, stderr=said)
    return said.getvalue()


def test_a_hard_stop_is_engaged_and_proven_and_says_what_it_met() -> None:
    turn = make_turn()
    with psycopg.connect(conninfo()) as delivery:
        deliver(delivery, turn)
        stop, _ = actions.engage_stop(
            mode="hard", scope="everything", reason="x", requester="ada"
        )
        delivery.commit()

    said = run("hard", "--reason", "prices are wrong")

    stop.refresh_from_db()
    assert stop.proven_at is not None
    assert "hard stop: everything: was in force already" in said
    assert re.search(r"^proven in \d+ ms$", said, re.MULTILINE)
    assert f"1 went out between request and proof\n    {turn.trace_id}" in said


def test_the_status_of_a_hard_stop_counts_the_mails_that_it_met() -> None:
    make_effect("held by it")
    now = timezone.now()
    lost = make_effect("lost", state="sending", begun_at=now, lease_until=now)
    run("hard", "--reason", "prices are wrong")
    lost.refresh_from_db()
    assert lost.state == "unknown"

    said = run("status")

    assert "  1 mails held for a person\n" in said
    assert "  1 mails that may have gone out\n" in said


def test_a_soft_stop_waits_for_the_workers_of_its_scope_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(actions, "PROOF_MS", 20)
    monkeypatch.setattr(command, "KEEP_PROVING_S", 0)
    make_heartbeat(["responder"], instance="host-a:1:here")
    make_heartbeat(["gate"], instance="host-a:2:sink")
    make_heartbeat(["responder"], instance="host-a:3:gone", age_s=20)

    with pytest.raises(CommandError, match="not proven: host-a:1:here may still"):
        run("soft", "--scope", "agent:responder", "--reason", "x")

    stop = Stop.objects.in_force().get()
    assert stop.proven_at is None
    assert "host-a:1:here: late, 0 in flight" in run("status")


def test_a_soft_stop_is_proven_when_its_workers_obey_or_are_silent() -> None:
    make_heartbeat(["responder"], instance="host-a:1:here", applied_version=1_000_000)
    make_heartbeat(["output-guard"], instance="host-a:2:gone", age_s=20)

    said = run("soft", "--scope", "workflow:chat", "--reason", "x")

    assert "soft stop: workflow chat: requested in" in said
    assert "host-a:1:here: obeys" in said
    assert "host-a:2:gone: silent" in said
    assert Stop.objects.get().proven_at is not None


def test_a_soft_stop_is_released_by_a_ramp_that_may_be_ended() -> None:
    run("soft", "--reason", "prices are wrong")
    stop = Stop.objects.get()

    with pytest.raises(CommandError, match=r"--ramp is 0\.1 to 1000"):
        run("release", str(stop.pk), "--reason", "over", "--ramp", "-1")
    assert "releasing." in run("release", str(stop.pk), "--reason", "over")
    status = run("status")
    ended = run("release", str(stop.pk), "--reason", "no need", "--ramp", "0")

    assert "releasing, at most 20 records a second for each agent" in status
    assert "no worker runs input-guard, tier-router" in status
    assert "released." in ended
    assert run("status") == "no stop is in force\n"


def test_status_and_release_are_on_record() -> None:
    assert run("status") == "no stop is in force\n"
    run("hard", "--scope", "tier:pro", "--reason", "prices are wrong")
    stop = Stop.objects.get()

    listed = run("status")
    released = run("release", str(stop.pk), "--reason", "prices are right")

    assert f"{stop.pk}  hard stop: tier pro  since" in listed
    assert f"{stop.requested_by}: prices are wrong" in listed
    assert stop.requested_by.startswith("shell:")
    assert "released. What it held still waits" in released
    assert Entry.objects.get(action="stop_released").actor == stop.requested_by
    with pytest.raises(CommandError, match="was released before"):
        run("release", str(stop.pk), "--reason", "again")


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("hard", "--scope", "planet", "--reason", "x"), "no scope 'planet'"),
        (("hard", "--scope", "tier:gold", "--reason", "x"), "must be one of free"),
        (("soft", "--scope", "conversation:c1", "--reason", "x"), "hard one"),
        (("hard", "--reason", " "), "say why"),
        (("release", "0" * 32, "--reason", "x"), "there is no stop"),
    ],
)
def test_what_cannot_be_is_refused_with_a_reason(
    arguments: tuple[str, ...], why: str
) -> None:
    with pytest.raises(CommandError, match=why):
        run(*arguments)

    assert not Stop.objects.exists()


def test_a_drill_measures_real_proofs_and_leaves_nothing_in_force() -> None:
    said = run("drill", "--times", "3")

    assert len(re.findall(r"^drill \d: proven in [\d.]+ ms$", said, re.MULTILINE)) == 3
    assert re.search(r"median [\d.]+ ms, longest [\d.]+ ms", said)
    assert not Stop.objects.in_force().exists()
    assert Stop.objects.count() == 3


def in_a_process(
    *arguments: str, **environment: str
) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "manage.py", "stop", *arguments],
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_it_works_with_the_web_kafka_and_valkey_away() -> None:
    away = {
        "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
        "REDIS_URL": "redis://127.0.0.1:1/0",
        "OPENAI_BASE_URL": "http://127.0.0.1:1/v1",
    }

    done = in_a_process("hard", "--reason", "x", DATABASE_URL=database_url(), **away)

    assert done.returncode == 0, done.stderr
    assert Stop.objects.in_force().get().proven_at is not None


def test_without_postgresql_it_says_what_that_means() -> None:
    away = "postgresql://nobody:x@127.0.0.1:1/nothing"

    done = in_a_process("hard", "--reason", "x", DATABASE_URL=away)

    assert done.returncode != 0
    assert "the stop is not recorded" in done.stderr
    assert "Traceback" not in done.stderr
