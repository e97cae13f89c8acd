"""The control room: what runs, what waits, what is wrong."""

import re
from datetime import timedelta
from uuid import uuid4

import pytest
from django.db import OperationalError, connection, transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from agents.pace import BUCKETS
from agents.registry import AGENTS
from agents.topics import RESPONSES_FINAL, USER_BLOCKED, USER_RAW
from controlplane.audit.models import Entry
from controlplane.chat.models import Outcome
from controlplane.home.backlog import positions
from controlplane.home.room import SHOWN_WORKERS
from controlplane.home.subjects import place_of
from controlplane.runtime.models import ControlVersion, OutboxRecord
from controlplane.stops.models import Stop
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

    assert "Worker host-b:1:gone is silent.</b>" in text
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
    assert '<td class="n wide">6</td>' in text
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
    Entry.objects.create(
        actor="ada", action="stop_requested", subject=f"stop:{uuid4()}"
    )
    Entry.objects.create(actor="gate", action="reply_delivered", subject="turn:1")
    client.force_login(make_admin())
    assert "<b>ada</b> stop requested" in text_of(client)
    assert "reply delivered" not in text_of(client)

    client.force_login(make_moderator())
    assert "stop requested" not in text_of(client)


def test_a_control_action_leads_to_what_it_is_about_for_who_may_look(
    client: Client,
) -> None:
    job, stop = uuid4(), uuid4()
    trace = "ab" * 16
    Entry.objects.create(
        actor="ada",
        action="stop_requested",
        subject=f"stop:{stop}",
        detail={"reason": "prices are wrong"},
    )
    Entry.objects.create(actor="lena", action="letters_started", subject=f"job:{job}")
    Entry.objects.create(
        actor="lena", action="letter_redriven", subject="letter:1", trace_id=trace
    )
    client.force_login(make_admin())

    text = text_of(client)

    assert f'href="/stops/{stop}/" title="stop:{stop}">stop:' in text
    assert "“prices are wrong”" in text
    assert f'href="/dlq/jobs/{job}/" title="job:{job}">job:{str(job)[:4]}…' in text
    assert f'href="/traces/{trace}/" title="letter:1">' in text


def test_a_line_of_the_log_leads_nobody_where_he_may_not_go() -> None:
    entry = Entry(subject=f"job:{uuid4()}", trace_id="ab" * 16)

    assert place_of(entry, make_user("nora")) == ""
    assert place_of(entry, make_user("vera", "viewer")) == f"/traces/{'ab' * 16}/"


def test_the_latest_control_actions_are_found_without_reading_the_log() -> None:
    """Among a million deliveries: the index has the control actions alone.

    Without conditions of its own, no other index can be used for a bitmap.
    """
    query = Entry.objects.control_actions().order_by("-pk")[:10]
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute("SET LOCAL enable_indexscan = off")
        plan = query.explain()

    assert "Bitmap Index Scan on audit_entry_control" in plan
    assert "Filter" not in plan


def test_the_live_part_is_the_room_alone(room: Client) -> None:
    text = text_of(room, "home:room")

    assert text.startswith('<div id="room"')
    assert "<html" not in text


def test_stops_in_force_come_first_with_their_proof(client: Client) -> None:
    ada = make_admin()
    now = timezone.now()
    for mode, proven_at in (("soft", None), ("hard", now + timedelta(milliseconds=23))):
        Stop.objects.create(
            mode=mode,
            scope="workflow",
            value="chat",
            reason="prices are wrong",
            requested_by="ada",
            requested_at=now,
            proven_at=proven_at,
        )
    client.force_login(ada)

    text = text_of(client)

    assert text.count("ada stopped the workflow chat: “prices are wrong”") == 2
    hard, soft = text.index(">hard stop<"), text.index(">soft stop<")
    assert hard < soft < text.index(">missing<")
    assert "Proven in 23 ms: nothing of it reaches a user" in text
    assert "Requested, and not proven yet." in text
    assert "3 things to look at" in text
    assert 'class="worst stop" href="#missing"' in text


def test_held_answers_past_their_deadline_are_named_and_lead_to_the_queue(
    room: Client,
) -> None:
    make_heartbeat()
    make_approval()
    for _ in range(2):
        make_approval(deadline_at=timezone.now() - timedelta(minutes=1))

    text = text_of(room)

    assert "2 past the deadline" in text
    assert "2 held answers are past the deadline.</b>" in text
    assert '<a href="/queue/">Open the queue</a>' in text


def test_many_in_the_same_trouble_are_one_line(room: Client) -> None:
    for number in range(6):
        make_heartbeat(
            [make_status(name, state="held", why="soft stop") for name in AGENTS],
            instance=f"host-a:{number}",
        )
        make_heartbeat(instance=f"host-b:{number}", age_s=30)

    text = text_of(room)

    assert "Workers host-b:0, host-b:1, host-b:2 and 3 more are silent.</b>" in text
    assert re.search(
        rf"input-guard, .+ and {len(AGENTS) - 3} more are held: soft stop.</b>", text
    )
    assert "2 things to look at" in text


def test_of_many_workers_those_in_trouble_are_listed_and_all_on_request(
    room: Client,
) -> None:
    for number in range(SHOWN_WORKERS):
        make_heartbeat(instance=f"host-a:{number:02}")
    make_heartbeat(instance="host-b:late", applied_version=-1)
    make_heartbeat(instance="host-c:well")

    text = text_of(room)
    everyone = " ".join(room.get("/?workers=all").content.decode().split())

    assert 'id="worker-host-b:late"' in text
    assert 'id="worker-host-c:well"' not in text
    assert "and 2 more, which all live and obey" in text
    assert 'id="worker-host-c:well"' in everyone
    assert 'hx-get="/room/?workers=all"' in everyone
    assert "Show the first only" in everyone


def test_rates_and_charts_are_those_of_all_workers(room: Client) -> None:
    until = 100
    for number in range(2):
        recent = [0] * BUCKETS
        recent[-2 - number] = 60  # of the same half minute, one heartbeat later
        pace = {"per_second": 2.5, "until": until + number, "recent": recent}
        make_heartbeat([make_status("gate", pace=pace)])

    response = room.get("/")

    found = response.context["room"]
    [gate] = [line for line in found.agents if line.agent.name == "gate"]
    assert (gate.agent.rate, gate.rate, found.running.rate) == (5.0, "5.0", "5.0")
    assert gate.agent.recent[-3] == 120
    assert sum(gate.minutes) == 120
    assert gate.chart.most == found.running.chart.most == "4.0"
    assert '<polyline points="0,23.0 4,23.0' in response.content.decode()


def test_a_worker_of_an_earlier_version_has_no_rate_yet(room: Client) -> None:
    make_heartbeat()

    assert "measuring" in text_of(room)


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
    assert text.count('<td class="n"><span class="meta">unknown</span></td>') == len(
        AGENTS
    )


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
    def away(*_: object, **__: object) -> None:
        raise OperationalError("connection refused")

    monkeypatch.setattr("controlplane.home.views.read_room", away)

    response = room.get(reverse("home:index"))

    assert response.status_code == 503
    assert response["Retry-After"] == "5"
    assert "The database does not answer" in response.content.decode()
    assert "Try again" in response.content.decode()
