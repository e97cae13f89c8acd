"""Reading traces, approvals and the runtime."""

from datetime import timedelta
from uuid import UUID

import pytest
from django.db import OperationalError
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from agents.topics import RESPONSES_FINAL
from controlplane.home.backlog import positions
from controlplane.runtime.models import ControlVersion
from tests.api.conftest import Caller, make_token
from tests.api.test_tokens import problem
from tests.factories import make_approval, make_conversation, make_turn, make_user
from tests.home.making import make_heartbeat, make_positions
from tests.traces_pages.scenes import DRAFT, SENT, edited_trace

pytestmark = pytest.mark.django_db


@pytest.fixture
def token() -> str:
    return make_token(make_user("vera", "viewer"))


def test_a_trace_has_its_hops_outcome_and_decisions(call: Caller, token: str) -> None:
    turn = edited_trace()

    trace = call("GET", f"/api/traces/{turn.trace_id}", token=token).json()

    assert trace["is_open"] is False
    assert trace["is_complete"] is True
    assert [hop["topic"] for hop in trace["hops"] if hop["kind"] == "record"] == [
        "user.messages.raw",
        "user.messages.cleaned",
        "agent.requests.enterprise",
        "agent.responses.raw",
        "discount.queries.pending_approval",
        "agent.responses.final",
        "agent.responses.approved",
    ]
    [told] = trace["turns"]
    assert (told["turn_id"], told["state"]) == (turn.pk, "delivered")
    [decision] = told["decisions"]
    assert decision["verdict"] == "edit"
    assert decision["text"] == SENT
    assert decision["decided_by"] == "mira"
    raw = trace["hops"][3]
    assert (raw["text"], raw["partition"], raw["offset"]) == (DRAFT, 3, 100)


def test_a_trace_with_a_held_answer_is_open(call: Caller, token: str) -> None:
    approval = make_approval()

    trace = call("GET", f"/api/traces/{approval.turn.trace_id}", token=token).json()

    assert trace["is_open"] is True
    [decision] = trace["turns"][0]["decisions"]
    assert (decision["state"], decision["verdict"]) == ("pending", None)


@pytest.mark.parametrize("trace_id", ["0" * 32, "4bf9", "%00"])
def test_an_unknown_trace_is_a_404(call: Caller, token: str, trace_id: str) -> None:
    problem(call("GET", f"/api/traces/{trace_id}", token=token), 404)


# Approvals


def test_lists_pending_approvals_of_a_team_the_nearest_deadline_first(
    call: Caller, token: str
) -> None:
    now = timezone.now()
    late = make_approval(deadline_at=now + timedelta(minutes=9))
    soon = make_approval(deadline_at=now + timedelta(minutes=1))
    make_approval(team="legal")
    make_approval(state="rejected")

    page = call("GET", "/api/approvals?team=discount", token=token).json()

    assert [UUID(item["id"]) for item in page["items"]] == [soon.pk, late.pk]
    assert page["next"] is None
    item = page["items"][0]
    assert item["fingerprint"] == soon.fingerprint
    assert item["trace_id"] == soon.turn.trace_id
    assert item["verdict"]["findings"][0]["number"] == 25.0


def test_trace_and_approval_have_the_tier_of_the_turn(call: Caller, token: str) -> None:
    turn = make_turn(make_conversation(tier="enterprise"), tier="free")
    make_approval(turn)

    [item] = call("GET", "/api/approvals", token=token).json()["items"]
    trace = call("GET", f"/api/traces/{turn.trace_id}", token=token).json()

    assert (item["tier"], trace["tier"]) == ("free", "free")


def test_pages_hold_each_approval_once_also_with_equal_deadlines(
    call: Caller, token: str
) -> None:
    deadline = timezone.now() + timedelta(minutes=5)
    made = {make_approval(deadline_at=deadline).pk for _ in range(5)}
    seen: list[UUID] = []
    following = ""
    while True:
        page = call(
            "GET", f"/api/approvals?limit=2&cursor={following}", token=token
        ).json()
        seen += [UUID(item["id"]) for item in page["items"]]
        following = page["next"]
        if following is None:
            break

    assert len(seen) == 5
    assert set(seen) == made


@pytest.mark.parametrize(
    "query",
    [
        "cursor=x",
        "cursor=%00",
        "cursor=MjAyNi0xMS0yMSBh",
        "limit=0",
        "limit=1000",
        "state=gone",
        "team=%00",
    ],
)
def test_a_query_that_makes_no_sense_is_a_422(
    call: Caller, token: str, query: str
) -> None:
    assert problem(call("GET", f"/api/approvals?{query}", token=token), 422)["errors"]


def test_a_page_costs_the_same_for_one_approval_or_ten(
    call: Caller, token: str, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for _ in range(10):
        make_approval()
    call("GET", "/api/approvals", token=token)  # its use is noted

    with django_assert_num_queries(4):  # token, 2 permissions, approvals
        call("GET", "/api/approvals", token=token)


# Runtime


def test_the_runtime_tells_versions_and_lag(
    call: Caller, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = make_positions({("gate", RESPONSES_FINAL): 4})
    monkeypatch.setattr(positions, "read", lambda: said)
    ControlVersion.objects.update(version=3)
    make_heartbeat(["gate"], applied_version=3)
    make_heartbeat(["gate"], applied_version=2)

    told = call("GET", "/api/runtime", token=token).json()

    assert (told["version"], told["applied_by"], told["live_workers"]) == (3, 1, 2)
    agents = {agent["name"]: agent for agent in told["agents"]}
    assert agents["gate"]["lag"] == 4
    assert agents["gate"]["applied_version"] == 2
    assert agents["intake"]["state"] == "missing"
    assert [worker["agents"] for worker in told["workers"]] == [["gate"], ["gate"]]


def test_a_lag_that_kafka_does_not_tell_is_null(
    call: Caller, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(positions, "read", lambda: "Connection refused")

    told = call("GET", "/api/runtime", token=token).json()

    assert {agent["lag"] for agent in told["agents"]} == {None}


def test_without_the_database_it_is_a_503_that_says_when_to_come_back(
    call: Caller, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(_: object) -> None:
        raise OperationalError("connection refused")

    monkeypatch.setattr("controlplane.api.runtime.workers", away)

    response = call("GET", "/api/runtime", token=token)

    assert problem(response, 503)["code"] == "database_away"
    assert response["Retry-After"] == "5"


def test_our_mistakes_are_problems_that_tell_no_secret(
    call: Caller, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object) -> None:
        raise RuntimeError("a secret of ours")

    monkeypatch.setattr("controlplane.api.runtime.workers", fail)

    assert "secret" not in str(problem(call("GET", "/api/runtime", token=token), 500))
