"""/stops/: what can be stopped, what is in force and how far its proof has come."""

from typing import Any

import psycopg
import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from agents.host import conninfo
from controlplane.audit.models import Entry
from controlplane.runtime.models import Heartbeat
from controlplane.stops import actions, barrier
from controlplane.stops.models import ListedTurn, Stop
from tests.factories import make_admin, make_approval, make_turn, make_user, sign_in_now
from tests.home.making import make_heartbeat
from tests.stops.test_stops import deliver

pytestmark = pytest.mark.django_db(transaction=True)

INDEX = reverse("stops:index")
FRAGMENT = {"HX-Request": "true", "HX-Request-Type": "partial"}


@pytest.fixture
def ada(client: Client) -> User:
    user = make_admin()
    sign_in_now(client, user)
    return user


def form(**fields: str) -> dict[str, str]:
    defaults = {
        "mode": "hard",
        "target": "workflow:chat",
        "conversation": "",
        "preset": "Prices or terms are wrong",
        "words": "since the import",
    }
    return defaults | fields


def text(response: Any) -> str:
    return " ".join(response.content.decode().split())


def stop(**fields: Any) -> Stop:
    defaults = {"mode": "hard", "scope": "everything", "reason": "x"}
    return actions.request_stop(requester="ida", **(defaults | fields))


def test_pressing_engages_and_proves_and_leads_to_the_proof(
    client: Client, ada: User
) -> None:
    response = client.post(INDEX, form())

    made = Stop.objects.get()
    assert response["Location"] == reverse("stops:stop", args=[made.pk])
    assert (made.mode, made.scope, made.value) == ("hard", "workflow", "chat")
    assert made.reason == "Prices or terms are wrong: since the import"
    assert (made.requested_by, made.proven_at is None) == ("ada", False)
    page = text(client.get(response["Location"]))
    assert "No delivery of before can commit any more" in page
    assert "Proven" in page


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"mode": ""}, "Press one of the two buttons."),
        ({"target": "planet"}, "Select a valid choice"),
        ({"preset": "", "words": " "}, "Say why: choose a reason, or write one."),
        ({"target": "conversation"}, "It must be a conversation"),
        (
            {"target": "conversation", "conversation": "c_1", "mode": "soft"},
            "it needs a hard one",
        ),
    ],
)
def test_what_cannot_be_stopped_is_said_beside_its_field(
    client: Client, ada: User, fields: dict[str, str], says: str
) -> None:
    response = client.post(INDEX, form(**fields))

    assert response.status_code == 422
    assert says in response.content.decode()
    assert "since the import" in response.content.decode() or not fields.get(
        "preset", "x"
    )
    assert not Stop.objects.exists()


def test_one_conversation_can_be_stopped(client: Client, ada: User) -> None:
    client.post(INDEX, form(target="conversation", conversation=" c_1 "))

    assert Stop.objects.get().value == "c_1"


def test_the_query_fills_in_the_form_for_who_had_to_sign_in_first(
    client: Client,
) -> None:
    wanted = f"{INDEX}?target=agent:responder"
    make_admin()

    signed_out = client.get(wanted)
    client.force_login(User.objects.get(username="ada"))
    page = text(client.get(wanted))

    assert "target%3Dagent%3Aresponder" in signed_out["Location"]
    assert '<option value="agent:responder" selected>' in page


def test_what_would_be_met_is_said_before_it_is_pressed(
    client: Client, ada: User
) -> None:
    make_heartbeat(["responder"], instance="host-a:1:x")
    make_heartbeat(["gate"], instance="host-a:2:x")
    Heartbeat.objects.filter(pk="host-a:1:x").update(
        agents=[{"agent": "responder", "in_flight": 7}]
    )
    make_approval(make_turn(tier="pro"))

    everything = text(client.get(reverse("stops:affected"), {"target": "everything"}))
    free = text(client.get(reverse("stops:affected"), {"target": "tier:free"}))

    assert "<b>4</b> agents in <b>1</b> workflow on <b>1</b> worker." in everything
    assert "<b>7</b> records are in flight" in everything
    assert "<b>1</b> waits for people" in everything
    assert "<b>0</b> wait for people" in free


def test_who_may_only_look_sees_no_buttons(client: Client) -> None:
    client.force_login(make_user("vera", "viewer"))
    made = stop()

    listed, page = (
        text(client.get(INDEX)),
        text(client.get(reverse("stops:stop", args=[made.pk]))),
    )

    assert "Hard stop · everything" in listed
    for button in ("data-hold-ms", "Release it", "Prove it again"):
        assert button not in listed + page


def test_a_stop_that_is_not_proven_says_so_and_can_be_proven_again(
    client: Client, ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(actions, "PROOF_MS", 50)
    monkeypatch.setattr(barrier, "end", lambda _: False)
    turn = make_turn()
    with psycopg.connect(conninfo()) as delivery:
        deliver(delivery, turn)
        page = text(client.post(INDEX, form(), follow=True))
        assert "Requested, not proven yet" in page
        assert "Waiting for deliveries that began before" in page
        delivery.commit()

    made = Stop.objects.get()
    page = text(client.post(reverse("stops:prove", args=[made.pk]), follow=True))

    assert "Requested, not proven yet" not in page
    assert f"/traces/{turn.trace_id}/" in page
    assert sorted(made.listed.values_list("fate", flat=True)) == [
        ListedTurn.Fate.DELIVERED,
        ListedTurn.Fate.IN_FLIGHT,
    ]


def test_workers_that_lag_or_are_silent_are_named(client: Client, ada: User) -> None:
    make_heartbeat(["responder"], instance="host-a:1:late")
    make_heartbeat(["responder"], instance="host-a:2:gone", age_s=20)
    make_heartbeat(["responder"], instance="host-a:3:good", applied_version=1_000_000)
    stop(mode="soft")

    page = text(client.get(INDEX, headers=FRAGMENT))

    assert "silent and hold by themselves: 2 of 3" in page
    assert 'not confirmed</span> <span class="mono">host-a:1:late' in page
    assert 'silent</span> <span class="mono">host-a:2:gone' in page
    assert "host-a:3:good" not in page


def test_how_late_a_worker_obeyed_is_told_of_this_change_alone(
    client: Client, ada: User
) -> None:
    made = stop()
    version = made.control_version
    fields = {"applied_in_ms": 163.0, "applied_version": version}
    worker = make_heartbeat(["responder"], instance="host-a:1:x", **fields)

    now = text(client.get(INDEX, headers=FRAGMENT))
    Heartbeat.objects.filter(pk=worker.pk).update(applied_version=version + 1)
    later = text(client.get(INDEX, headers=FRAGMENT))

    assert "163 ms" in now
    assert "163 ms" not in later


def test_releasing_needs_a_reason_and_is_done_once(client: Client, ada: User) -> None:
    made = stop()
    address = reverse("stops:release", args=[made.pk])

    assert "Say why it may go on." in text(client.post(address, {"reason": " "}))
    assert Stop.objects.in_force().exists()
    page = text(client.post(address, {"reason": "prices are right"}, follow=True))
    again = client.post(address, {"reason": "me too"})

    assert "Released" in page
    assert "prices are right" in page
    assert again.status_code == 409
    assert "ada has released it before." in text(again)
    assert Entry.objects.filter(action="stop_released").count() == 1
    history = text(client.get(INDEX))
    assert "ada: prices are right" in history
    assert "Nothing is stopped" in history


def test_a_ramped_release_shows_how_far_it_is_until_it_is_over(
    client: Client, ada: User
) -> None:
    made = stop(mode="soft")
    address = reverse("stops:release", args=[made.pk])
    too_fast = client.post(address, {"reason": "x", "ramp_per_s": "5000"})
    page = text(client.post(address, {"reason": "x", "ramp_per_s": "7"}, follow=True))
    pace = made.paces.create(agent="responder", drawn=1_234)

    assert too_fast.status_code == 422
    assert "less than or equal to 1000" in text(too_fast)
    assert "Releasing" in page
    assert "at most <b>7</b> records a second" in page
    assert "No worker runs an agent of it" not in page
    live = text(client.get(reverse("stops:stop", args=[made.pk]), headers=FRAGMENT))
    assert (
        f'<b class="figure">1,234</b><span class="meta">started by {pace.agent}' in live
    )
    assert "no worker runs it" in live
    assert "every turn accounted for" in live

    lift = reverse("stops:lift", args=[made.pk])
    assert "Say why." in text(client.post(lift, {"reason": ""}))
    assert "Released" in text(client.post(lift, {"reason": "no need"}, follow=True))
    assert "no ramp to end" in text(client.post(lift, {"reason": "no need"}))


def test_history_costs_the_same_for_one_stop_or_ten(
    client: Client, ada: User, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    def past() -> None:
        actions.release_stop(stop(), reason="over", releaser="ada")

    past()
    client.get(INDEX, headers=FRAGMENT)
    # session, user, 2 permissions, in force, releases, rules, history
    with django_assert_num_queries(8):
        client.get(INDEX, headers=FRAGMENT)
    for _ in range(9):
        past()
    with django_assert_num_queries(8):
        client.get(INDEX, headers=FRAGMENT)
