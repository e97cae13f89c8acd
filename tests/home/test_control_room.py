"""The control room: what runs, what waits, what is wrong."""

import re
from datetime import timedelta

import pytest
from django.db import OperationalError
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from agents.topics import RESPONSES_FINAL, USER_BLOCKED, USER_RAW
from controlplane.audit.models import Entry
from controlplane.chat.models import Outcome
from controlplane.home.backlog import positions
from controlplane.runtime.models import ControlVersion, OutboxRecord
from tests.deadletters.making import make_letter
from tests.factories import (
    make_admin,
    make_approval,
    make_moderator,
    make_turn,
    make_user,
)
from tests.home.conftest import Down, KafkaSays
from tests.home.making import make_heartbeat, make_status, record_everything

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("services_down")]


def text_of(client: Client, name: str = "home:index") -> str:
    response = client.get(reverse(name))
    assert response.status_code == 200
    return " ".join(response.content.decode().split())


@pytest.fixture
def room(client: Client) -> Client:
    client.force_login(make_user("vera", "viewer"))
    return client


def test_says_that_everything_runs(room: Client) -> None:
    make_heartbeat()

    text = text_of(room)

    assert "Everything runs" in text
    assert "hosted nowhere" not in text
    assert "Nothing is wrong." in text


def test_without_workers_says_what_that_means_and_how_to_start_one(
    room: Client,
) -> None:
    text = text_of(room)

    assert "No worker has been heard of" in text
    assert "No worker hosts input-guard, tier-router" in text
    assert "celery -A controlplane worker" in text


def test_a_service_that_is_down_is_a_sentence_about_what_goes_on(
    room: Client, services_down: Down
) -> None:
    make_heartbeat()
    services_down("kafka", "valkey")

    text = text_of(room)

    assert "Kafka does not answer." in text
    assert "Held answers can still be decided" in text
    assert "Valkey does not answer." in text
    assert "2 things to look at" in text


def test_says_how_many_workers_obey_the_current_version_and_since_when(
    room: Client,
) -> None:
    control = ControlVersion.objects.get(pk=1)
    control.version, control.changed_at = 7, timezone.now() - timedelta(minutes=1)
    control.save()
    make_heartbeat(applied_in_ms=12.0)
    make_heartbeat(applied_in_ms=38.0)
    # It started after the change, so it has no time of its own.
    make_heartbeat(applied_in_ms=50_000.0, started_at=timezone.now())

    text = text_of(room)

    assert "version <b>7</b> applied by <b>3 of 3</b> workers in <b>38 ms</b>" in text


def test_a_worker_that_lags_is_named(room: Client) -> None:
    control = ControlVersion.objects.get(pk=1)
    control.version = 7
    control.save()
    make_heartbeat()
    make_heartbeat(instance="host-b:1:late", applied_version=6)

    text = text_of(room)

    assert "Worker host-b:1:late still obeys version 6." in text
    assert "applied by <b>1 of 2</b>" in text
    assert "not all obey yet" in text


def test_a_worker_that_fell_silent_is_named_and_counts_no_more(room: Client) -> None:
    make_heartbeat()
    make_heartbeat(instance="host-b:1:gone", age_s=30)

    text = text_of(room)

    assert "Worker host-b:1:gone is silent since" in text
    assert "applied by <b>1 of 1</b>" in text


def test_a_worker_silent_for_long_is_no_longer_listed(room: Client) -> None:
    make_heartbeat()
    make_heartbeat(instance="host-b:1:old", age_s=3600)

    assert "host-b:1:old" not in text_of(room)


@pytest.mark.parametrize(
    ("state", "sentence"),
    [
        ("held", "gate is held: paused by Ada."),
        ("broken", "gate has ended: paused by Ada."),
    ],
)
def test_an_agent_that_does_not_run_is_named_with_the_reason(
    room: Client, state: str, sentence: str
) -> None:
    make_heartbeat()
    make_heartbeat(agents=[make_status("gate", state=state, why="paused by Ada")])

    assert sentence in text_of(room)


def test_an_agents_figures_are_those_of_all_its_workers(
    room: Client, kafka_says: KafkaSays
) -> None:
    kafka_says({("gate", RESPONSES_FINAL): 1_200, ("gate", USER_BLOCKED): 2})
    for _ in range(2):
        make_heartbeat(agents=[make_status("gate", in_flight=3, errors=2)])

    text = text_of(room)

    assert '<td class="n">1,202</td>' in text
    assert '<td class="n">6</td>' in text
    assert '<td class="n">4</td>' in text


def test_counts_what_waits_and_what_failed(room: Client) -> None:
    make_heartbeat()
    make_approval()
    Outcome.objects.create(turn=make_turn(created_at=timezone.now()), state="open")
    Outcome.objects.create(turn=make_turn(), state="failed")
    Outcome.objects.create(
        turn=make_turn(), state="failed", changed_at=timezone.now() - timedelta(days=2)
    )

    text = text_of(room)

    for figure in (
        '<b class="figure">1</b> <span class="meta">unfinished turn, the oldest for 0 s</span>',
        '<b class="figure">1</b> <span class="meta">held for a person</span>',
        '<b class="figure">1</b> <span class="meta">failed today</span>',
        '<b class="figure">0</b> <span class="meta">open dead letters</span>',
    ):
        assert figure in text
    assert f'href="{reverse("moderation:queue")}"' in text


def test_the_dead_letters_are_a_link_for_those_who_may_look(client: Client) -> None:
    make_letter()
    client.force_login(make_user("otto", "auditor"))

    text = text_of(client)

    assert '<b class="figure">1</b> <span class="meta">open dead letter</span>' in text
    assert 'href="/dlq/"><b class="figure">' in text


def test_decided_answers_that_kafka_refused_are_named_with_their_traces(
    room: Client,
) -> None:
    make_heartbeat()
    for n in range(7):
        make_refusal("agent.responses.approved", f"{n:032x}")
    make_refusal("controlplane.config", "f" * 32)
    published = make_refusal("agent.responses.rejected", "e" * 32)
    published.published_at = timezone.now()
    published.save(update_fields=["published_at"])

    text = text_of(room)

    assert "Kafka refused 7 decided answers for good: too large 6." in text
    assert "Their users still wait." in text
    linked = re.findall(r'href="/traces/(\w+)/"', text)
    assert linked == [f"{n:032x}" for n in (6, 5, 4, 3, 2)]
    assert "Kafka refused 1 record of controlplane.config for good." in text
    assert "2 things to look at" in text
    assert (
        '<b class="figure">0</b> <span class="meta">decided, not yet in Kafka</span>'
        in text
    )


def make_refusal(topic: str, trace: str) -> OutboxRecord:
    return OutboxRecord.objects.create(
        topic=topic,
        key=b"c1",
        value=b"{}",
        headers=[["ce_id", "e1"], ["traceparent", f"00-{trace}-{'a' * 16}-01"]],
        failed_at=timezone.now(),
        failure=f"too large {trace[-1]}",
    )


def test_the_latest_control_actions_are_for_those_who_may_read_the_log(
    client: Client,
) -> None:
    Entry.objects.create(actor="ada", action="stop_requested", subject="stop:1")
    Entry.objects.create(actor="gate", action="reply_delivered", subject="turn:1")
    client.force_login(make_admin())
    assert "stop_requested" in text_of(client)
    assert "reply_delivered" not in text_of(client)

    client.force_login(make_moderator())
    assert "stop_requested" not in text_of(client)


def test_the_live_part_brings_the_lamp_with_it(room: Client) -> None:
    text = text_of(room, "home:room")

    assert '<div id="room"' in text
    assert '<hx-partial hx-target="#lamp"' in text
    assert "<html" not in text


def test_visitors_are_sent_to_sign_in(client: Client) -> None:
    response = client.get(reverse("home:index"))

    assert response.status_code == 302
    assert response["Location"] == "/accounts/login/?next=/"


def test_the_live_part_of_someone_signed_out_reloads_the_page(client: Client) -> None:
    response = client.get(reverse("home:room"), headers={"HX-Request": "true"})

    assert response["HX-Refresh"] == "true"


def test_people_without_a_role_are_refused(client: Client) -> None:
    client.force_login(make_user("nora"))

    response = client.get(reverse("home:index"))

    assert response.status_code == 403
    assert "Your role does not include this page" in response.content.decode()


def test_costs_the_same_for_one_worker_or_ten(
    client: Client, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    client.force_login(make_admin())
    for _ in range(10):
        make_heartbeat()
        make_approval()

    # session, user, when it was seen, 2 permissions, version, recorder, workers, unfinished, held, restarts,
    # unpublished, refusals, failed, dead letters, log, lamp, queue's count
    with django_assert_num_queries(20):
        client.get(reverse("home:index"))


# Alerts


def test_lag_over_its_threshold_is_an_alert_with_a_place_to_look(
    room: Client, kafka_says: KafkaSays
) -> None:
    make_heartbeat()
    lags = {("input-guard", USER_RAW): 10_001}
    kafka_says(lags)
    record_everything(lags)

    text = text_of(room)

    assert '<span class="tag soft">behind</span>' in text
    assert f"input-guard is behind on {USER_RAW}: <b" in text
    assert ">10,001 records</b>" in text
    assert "more than 10,000 records since <time" in text
    assert '<a href="#agents">See the agents</a>' in text
    assert "1 thing to look at" in text
    assert "Nothing is wrong" not in text


def test_lag_as_high_as_its_threshold_is_none(
    room: Client, kafka_says: KafkaSays
) -> None:
    make_heartbeat()
    lags = {("input-guard", USER_RAW): 10_000}
    kafka_says(lags)
    record_everything(lags)

    text = text_of(room)

    assert "Nothing is wrong." in text
    assert f"records of largest lag: input-guard on {USER_RAW}" in text


def test_the_lag_of_an_agent_that_nobody_hosts_is_known(
    room: Client, kafka_says: KafkaSays
) -> None:
    kafka_says({("gate", RESPONSES_FINAL): 4_321})

    assert '<td class="n">4,321</td>' in text_of(room)


def test_an_old_turn_is_an_alert_that_leads_to_its_trace(room: Client) -> None:
    make_heartbeat()
    turn = make_turn(created_at=timezone.now() - timedelta(minutes=3))
    Outcome.objects.create(turn=turn, state="open")
    make_approval()

    text = text_of(room)

    assert "The only unfinished turn waits; 1 other held for people: <b" in text
    assert f'href="{reverse("traces:trace", args=[turn.trace_id])}"' in text


def test_an_alert_keeps_its_time_while_it_is_in_force(
    room: Client, kafka_says: KafkaSays
) -> None:
    make_heartbeat()
    kafka_says(recent=100)

    first = re.findall(r"per minute since <time[^>]*>[^<]*<", text_of(room))
    again = re.findall(r"per minute since <time[^>]*>[^<]*<", text_of(room))

    assert len(first) == 1
    assert again == first


def test_what_kafka_does_not_say_is_unknown_and_never_0(
    room: Client, kafka_says: KafkaSays
) -> None:
    make_heartbeat()
    kafka_says(error="Group authorization failed")

    text = text_of(room)

    assert "How far agents are behind and how many records fail is unknown." in text
    assert "Kafka says: Group authorization failed." in text
    assert '<b class="figure">unknown</b> <span class="meta">largest lag</span>' in text
    assert text.count('<td class="n"><span class="meta">unknown</span></td>') == 9


def test_a_kafka_that_is_down_is_not_asked_again(
    room: Client, services_down: Down, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_heartbeat()
    services_down("kafka")

    def asked() -> None:
        raise AssertionError("Kafka was asked")

    monkeypatch.setattr(positions, "read", asked)

    assert '<b class="figure">unknown</b>' in text_of(room)


def test_without_the_database_says_so_on_a_page_that_can_be_read(
    room: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(_: object) -> None:
        raise OperationalError("connection refused")

    monkeypatch.setattr("controlplane.home.views.read_room", away)

    response = room.get(reverse("home:index"))

    assert response.status_code == 503
    assert response["Retry-After"] == "5"
    assert "The database does not answer" in response.content.decode()
    assert "Try again" in response.content.decode()
