"""/api/stops: engaging, proving, listing, releasing."""

import json
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from django.db import OperationalError
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from agents.host import conninfo
from controlplane.audit.models import Entry
from controlplane.chat.settle import BARRIER
from controlplane.runtime.models import ControlVersion, Heartbeat
from controlplane.stops import actions, barrier
from controlplane.stops.models import Stop
from tests.api.conftest import Caller, make_token
from tests.api.test_tokens import problem
from tests.factories import make_admin
from tests.home.making import make_heartbeat

pytestmark = pytest.mark.django_db


@pytest.fixture
def token() -> str:
    return make_token(make_admin())


def engage(call: Caller, token: str, **fields: Any) -> Any:
    body = {"mode": "hard", "scope": "everything", "reason": "drill"} | fields
    return call("POST", "/api/stops", json.dumps(body), token=token)


def release(
    call: Caller, token: str, stop_id: object, reason: str = "over", **fields: Any
) -> Any:
    body = json.dumps({"reason": reason} | fields)
    return call("POST", f"/api/stops/{stop_id}/release", body, token=token)


def listed(call: Caller, token: str, query: str = "") -> list[dict[str, Any]]:
    response = call("GET", f"/api/stops{query}", token=token)
    assert response.status_code == 200, response.content
    items: list[dict[str, Any]] = response.json()["items"]
    return items


def test_a_hard_stop_is_in_force_and_proven(call: Caller, token: str) -> None:
    response = engage(call, token, scope="tier", value="pro")

    assert response.status_code == 201, response.content
    told = response.json()
    assert (told["state"], told["requested_by"]) == ("proven", "ada")
    assert (told["mode"], told["scope"], told["value"]) == ("hard", "tier", "pro")
    assert told["proven_at"] >= told["requested_at"]
    assert 0 <= told["proof_ms"] < 2_000
    assert Stop.objects.in_force().get().pk == UUID(told["id"])
    assert [entry.actor for entry in Entry.objects.order_by("pk")][-2:] == ["ada"] * 2


def test_a_stop_engaged_twice_is_one_stop(call: Caller, token: str) -> None:
    first = engage(call, token).json()

    again = engage(call, token, reason="again")

    assert again.status_code == 200
    assert again.json() == first
    assert Stop.objects.count() == 1


def test_a_soft_stop_is_proven_when_the_workers_of_its_scope_obey(
    call: Caller, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(actions, "PROOF_MS", 50)
    worker = make_heartbeat(["responder"])
    for _ in range(2):
        response = engage(call, token, mode="soft", scope="agent", value="responder")

        assert response.status_code == 202
        told = response.json()
        assert told["state"] == "requested"
        assert (told["proven_at"], told["proof_ms"]) == (None, None)

    version = ControlVersion.objects.get().version
    Heartbeat.objects.filter(pk=worker.pk).update(applied_version=version)
    proven = engage(call, token, mode="soft", scope="agent", value="responder")
    assert (proven.status_code, proven.json()["state"]) == (200, "proven")


def test_a_stop_that_a_delivery_holds_up_is_requested_until_it_is_proven(
    call: Caller, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(actions, "PROOF_MS", 50)
    monkeypatch.setattr(barrier, "end", lambda _: False)
    with psycopg.connect(conninfo()) as delivery:
        delivery.execute("SELECT pg_advisory_xact_lock_shared(%s)", [BARRIER])
        response = engage(call, token)
        assert response.status_code == 202
        assert response.json()["state"] == "requested"
        assert Stop.objects.in_force().exists()
        delivery.commit()

    again = engage(call, token)
    assert (again.status_code, again.json()["state"]) == (200, "proven")


def test_a_database_that_goes_between_request_and_proof_leaves_a_requested_stop(
    call: Caller, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object, **__: object) -> None:
        raise OperationalError("gone")

    monkeypatch.setattr(actions, "prove_stop", away)

    assert engage(call, token).status_code == 202
    assert Stop.objects.in_force().exists()


@pytest.mark.parametrize(
    ("fields", "where"),
    [
        ({"mode": "medium"}, "body.mode"),
        ({"scope": "planet"}, "body.scope"),
        ({"reason": ""}, "body.reason"),
        ({"reason": " \n"}, "body.reason"),
        ({"reason": "\x00 x"}, "body.reason"),
        ({"reason": "x" * 2_001}, "body.reason"),
        ({"value": "x"}, "body.value"),
        ({"scope": "tier", "value": "platinum"}, "body.value"),
        ({"scope": "conversation", "value": "c\x00"}, "body.value"),
        ({"scope": "conversation", "value": "c\ud800"}, "body.value"),
        (
            {"mode": "soft", "scope": "conversation", "value": "c"},
            "body.scope",
        ),
    ],
)
def test_a_stop_that_cannot_be_names_the_field(
    call: Caller, token: str, fields: dict[str, str], where: str
) -> None:
    told = problem(engage(call, token, **fields), 422)

    assert [error["at"] for error in told["errors"]] == [where]
    assert not Stop.objects.exists()


def test_releasing_has_a_person_and_a_reason(call: Caller, token: str) -> None:
    stop = engage(call, token).json()

    response = release(call, token, stop["id"])

    assert response.status_code == 200, response.content
    told = response.json()
    assert told["state"] == "released"
    assert (told["released_by"], told["release_reason"]) == ("ada", "over")
    assert told["proof_ms"] == stop["proof_ms"]
    assert not Stop.objects.in_force().exists()
    assert engage(call, token).json()["id"] != stop["id"]


def test_the_second_of_two_releases_hears_who_was_first(
    call: Caller, token: str
) -> None:
    stop = engage(call, token).json()
    release(call, token, stop["id"])

    told = problem(release(call, token, stop["id"], "again"), 409)

    assert told["code"] == "already_released"
    assert told["stop"]["release_reason"] == "over"
    assert told["detail"] == "ada has released it."


def test_an_unknown_stop_is_a_404_and_a_reason_is_needed(
    call: Caller, token: str
) -> None:
    problem(release(call, token, uuid4()), 404)
    stop = engage(call, token).json()
    problem(release(call, token, stop["id"], " "), 422)


def make_stops(count: int) -> list[Stop]:
    """At one moment, so that only their ids tell them apart."""
    moment = timezone.now()
    return [
        Stop.objects.create(
            mode="hard",
            scope="conversation",
            value=f"c{number}",
            reason="drill",
            requested_by="ida",
            requested_at=moment,
        )
        for number in range(count)
    ]


def test_lists_what_is_in_force_or_released_or_all(call: Caller, token: str) -> None:
    old, kept, new = make_stops(3)
    Stop.objects.filter(pk=old.pk).update(requested_at=old.requested_at - timedelta(1))
    Stop.objects.filter(pk=new.pk).update(requested_at=new.requested_at + timedelta(1))
    actions.release_stop(kept, reason="over", releaser=kept.requested_by)

    def values(query: str = "") -> list[str]:
        return [item["value"] for item in listed(call, token, query)]

    assert values() == values("?state=in_force") == ["c2", "c0"]
    assert values("?state=released") == ["c1"]
    assert values("?state=all") == ["c2", "c1", "c0"]


def test_a_soft_stop_is_releasing_while_its_ramp_is_needed(
    call: Caller, token: str
) -> None:
    soft = actions.request_stop(
        mode="soft", scope="everything", reason="x", requester="ada"
    )

    problem(release(call, token, soft.pk, ramp_per_s=0), 422)
    told = release(call, token, soft.pk, ramp_per_s=7).json()

    assert (told["state"], told["ramp_per_s"], told["released_at"]) == (
        "releasing",
        7,
        None,
    )
    assert told["releasing_at"]
    [one] = listed(call, token, "?state=releasing")
    assert one == told
    assert listed(call, token) == []
    problem(release(call, token, soft.pk), 409)


def test_pages_hold_each_stop_once(call: Caller, token: str) -> None:
    made = make_stops(5)
    seen: list[UUID] = []
    following: str | None = ""
    while following is not None:
        query = f"/api/stops?limit=2&cursor={following}"
        page = call("GET", query, token=token).json()
        seen += [UUID(item["id"]) for item in page["items"]]
        following = page["next"]

    assert len(seen) == 5
    assert set(seen) == {stop.pk for stop in made}


def test_a_page_costs_the_same_for_one_stop_or_ten(
    call: Caller, token: str, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    make_stops(10)
    listed(call, token)  # its use is noted

    with django_assert_num_queries(4):  # token, 2 permissions, stops
        assert len(listed(call, token)) == 10


@pytest.mark.parametrize("query", ["cursor=x", "limit=0", "state=gone"])
def test_a_query_that_makes_no_sense_is_a_422(
    call: Caller, token: str, query: str
) -> None:
    assert problem(call("GET", f"/api/stops?{query}", token=token), 422)["errors"]
