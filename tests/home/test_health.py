"""What machines ask."""

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families
from pytest_django import DjangoAssertNumQueries

from agents.registry import AGENTS
from agents.topics import RESPONSES_FINAL
from controlplane.accounts import actions
from controlplane.chat.models import Outcome
from controlplane.stops.models import Stop
from tests.effects.making import make_effect
from tests.factories import make_admin, make_approval, make_turn
from tests.home.conftest import Down, KafkaSays
from tests.home.making import make_heartbeat, make_status

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("services_down")]


def test_the_process_is_well_without_asking_the_database(
    client: Client, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    with django_assert_num_queries(0):
        response = client.get("/healthz")

    assert response.json() == {"ok": True}


def test_is_ready_when_services_and_agents_are_there(client: Client) -> None:
    make_heartbeat()

    response = client.get("/readyz")

    assert response.status_code == 200
    assert response.json() == {"ready": True, "missing": []}


def test_is_not_ready_without_agents_and_names_them(client: Client) -> None:
    make_heartbeat(agents=["input-guard", "tier-router", "responder"])
    make_heartbeat(agents=["output-guard"], age_s=20)  # silent
    make_heartbeat(agents=[make_status("gate", state="broken")])

    response = client.get("/readyz")

    assert response.status_code == 503
    assert response.json()["missing"] == [
        "agent:output-guard",
        "agent:intake",
        "agent:gate",
        "agent:failures",
        "agent:relay",
    ]


def test_is_ready_without_what_no_answer_needs(client: Client) -> None:
    spared = {"mail-intake", "mailer", "recorder", "tripwire"}
    make_heartbeat(agents=AGENTS.keys() - spared)

    assert client.get("/readyz").json() == {"ready": True, "missing": []}


def test_is_not_ready_without_a_service_but_does_without_the_model(
    client: Client, services_down: Down
) -> None:
    make_heartbeat()
    services_down("kafka", "model")

    assert client.get("/readyz").json() == {"ready": False, "missing": ["kafka"]}


def test_asks_no_database_that_is_away(
    client: Client,
    services_down: Down,
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    services_down("postgresql")

    with django_assert_num_queries(0):
        response = client.get("/readyz")

    assert response.json()["missing"] == ["postgresql", "agents"]


# Metrics


Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def metrics(client: Client) -> Samples:
    response = client.get("/metrics")
    assert response.status_code == 200
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(response.content.decode())
        for sample in family.samples
    }


def records(value: float) -> dict[str, object]:
    labels = {"agent": "gate", "topic": "t", "outcome": "ok"}
    return {
        "name": "interlock_records",
        "help": "Records that an agent is done with.",
        "type": "counter",
        "samples": [["interlock_records_total", labels, value]],
    }


def test_metrics_add_up_what_the_live_workers_counted(client: Client) -> None:
    make_heartbeat(metrics=[records(3)])
    make_heartbeat(metrics=[records(4)])
    make_heartbeat(metrics=[records(100)], age_s=60)

    labels = frozenset({("agent", "gate"), ("topic", "t"), ("outcome", "ok")})
    assert metrics(client)["interlock_records_total", labels] == 7


def test_metrics_tell_lag_approvals_and_stops(
    client: Client, kafka_says: KafkaSays
) -> None:
    kafka_says({("gate", RESPONSES_FINAL): 11})
    make_approval(team="discount")
    make_effect(state="unknown")
    Stop.objects.create(
        mode="hard", scope="everything", reason="drill", requested_by="ada"
    )

    told = metrics(client)

    gate = frozenset({("agent", "gate"), ("topic", RESPONSES_FINAL)})
    assert told["kafka_consumer_lag", gate] == 11
    assert told["interlock_approvals_pending", frozenset({("team", "discount")})] == 1
    assert told["interlock_mails", frozenset({("state", "unknown")})] == 1
    assert told["interlock_mails", frozenset({("state", "held")})] == 0
    hard, soft = (
        frozenset({("scope", "everything"), ("mode", mode)})
        for mode in ("hard", "soft")
    )
    assert told["interlock_stop_active", hard] == 1
    assert told["interlock_stop_active", soft] == 0


def test_metrics_tell_who_is_late_and_who_has_fallen_silent(client: Client) -> None:
    make_approval(team="discount")
    late = timezone.now() - timedelta(seconds=1)
    make_approval(team="discount", deadline_at=late)
    make_heartbeat()
    make_heartbeat(age_s=60)
    make_heartbeat(age_s=3_600)  # no longer listed

    told = metrics(client)

    discount, legal = (frozenset({("team", name)}) for name in ("discount", "legal"))
    assert told["interlock_approvals_pending", discount] == 2
    assert told["interlock_approvals_overdue", discount] == 1
    assert told["interlock_approvals_overdue", legal] == 0
    assert told["interlock_workers", frozenset({("state", "live")})] == 1
    assert told["interlock_workers", frozenset({("state", "silent")})] == 1


def test_metrics_tell_what_alerts_are_about(
    client: Client, kafka_says: KafkaSays
) -> None:
    kafka_says({("gate", RESPONSES_FINAL): 10_001}, recent=5)
    turn = make_turn(created_at=timezone.now() - timedelta(minutes=3))
    Outcome.objects.create(turn=turn, state="open")
    started_at = timezone.now() - timedelta(minutes=2)
    make_heartbeat(age_s=60)
    make_heartbeat(started_at=started_at)

    told = metrics(client)

    nothing: frozenset[tuple[str, str]] = frozenset()
    assert told["interlock_turns_unfinished", nothing] == 1
    assert 180 <= told["interlock_oldest_turn_seconds", nothing] < 200
    assert told["interlock_worker_restarts", nothing] == 1
    assert told["interlock_dead_letters_per_minute", nothing] == 1
    assert alerts_of(told) == {
        "lag": 1,
        "oldest_turn": 1,
        "restarts": 0,
        "dead_letters": 0,
    }


def test_metrics_leave_out_what_kafka_does_not_say(
    client: Client, kafka_says: KafkaSays
) -> None:
    kafka_says(error="Connection refused")

    told = metrics(client)

    names = {name for name, _ in told}
    assert not names & {"kafka_consumer_lag", "interlock_dead_letters_per_minute"}
    assert alerts_of(told) == {"oldest_turn": 0, "restarts": 0}


def alerts_of(told: Samples) -> dict[str, float]:
    return {
        dict(labels)["alert"]: value
        for (name, labels), value in told.items()
        if name == "interlock_alert_active"
    }


@pytest.mark.parametrize(
    "where",
    [{"REMOTE_ADDR": "10.1.2.3"}, {"HTTP_X_FORWARDED_FOR": "10.1.2.3"}],
    ids=["another machine", "through a proxy on this one"],
)
def test_metrics_for_others_need_a_token_with_the_scope(
    client: Client, where: dict[str, Any]
) -> None:
    assert client.get("/metrics", **where).status_code == 403

    ada = make_admin()
    for scope, status in (("traces:read", 403), ("runtime:read", 200)):
        token = actions.create_token(ada, scopes=[scope], actor="test")
        response = client.get("/metrics", HTTP_AUTHORIZATION=f"Bearer {token}", **where)
        assert response.status_code == status
