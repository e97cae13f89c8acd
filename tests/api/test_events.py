"""POST /api/events/{topic}."""

import json
from typing import Any

import pytest

from controlplane.chat import ingress
from controlplane.chat.ingress import Accepted
from tests.api.conftest import Caller
from tests.api.test_tokens import problem

pytestmark = pytest.mark.django_db(transaction=True)
TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0ed0a1-00f067aa0ba902b7-01"


def send(
    call: Caller, topic: str = "user.messages.raw", *, key: str = "k1", **fields: Any
) -> Any:
    body = {"conversation_id": "c_1", "text": "What does it cost?"} | fields
    return call(
        "POST", f"/api/events/{topic}", json.dumps(body), HTTP_IDEMPOTENCY_KEY=key
    )


@pytest.fixture
def submitted(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What reaches the ingress; Kafka stays out of it."""
    seen: list[dict[str, Any]] = []

    async def submit(**message: Any) -> Accepted:
        seen.append(message)
        return Accepted(event_id="e1", trace_id="t1")

    monkeypatch.setattr(ingress, "submit", submit)
    return seen


def test_an_event_is_accepted_with_its_ids(
    call: Caller, submitted: list[dict[str, Any]]
) -> None:
    response = send(call, user="u_1", tier="pro", unknown="ignored")

    assert response.status_code == 202
    assert response.json() == {"event_id": "e1", "trace_id": "t1"}
    assert submitted == [
        {
            "conversation_id": "c_1",
            "client_id": "k1",
            "text": "What does it cost?",
            "user": "u_1",
            "tier": "pro",
            "linked_trace": "",
            "wants_person": False,
        }
    ]


def test_an_event_may_ask_for_a_person(
    call: Caller, submitted: list[dict[str, Any]]
) -> None:
    send(call, wants_person=True)

    assert submitted[0]["wants_person"] is True


@pytest.mark.parametrize(
    ("header", "linked"),
    [
        (TRACEPARENT, "4bf92f3577b34da6a3ce929d0e0ed0a1"),
        ("00-" + "0" * 32 + "-00f067aa0ba902b7-01", ""),
        ("nonsense", ""),
    ],
)
def test_a_callers_trace_is_linked(
    call: Caller, submitted: list[dict[str, Any]], header: str, linked: str
) -> None:
    call(
        "POST",
        "/api/events/user.messages.raw",
        json.dumps({"conversation_id": "c_1", "text": "Hi"}),
        HTTP_IDEMPOTENCY_KEY="k1",
        HTTP_TRACEPARENT=header,
    )

    assert submitted[0]["linked_trace"] == linked


def test_an_unknown_topic_is_a_404(call: Caller) -> None:
    problem(send(call, "no.such.topic"), 404)


@pytest.mark.parametrize("topic", ["agent.responses.final", "agents.dlq"])
def test_a_topic_that_is_not_open_is_a_403(call: Caller, topic: str) -> None:
    assert "not open" in problem(send(call, topic), 403)["detail"]


@pytest.mark.parametrize(
    ("fields", "where"),
    [
        ({"text": 5}, "text"),
        ({"conversation_id": None}, "conversation_id"),
        ({"conversation_id": ""}, "conversation_id"),
        ({"conversation_id": "c" * 101}, "conversation_id"),
        ({"conversation_id": "c\x00"}, "conversation_id"),
        ({"tier": "t" * 51}, "tier"),
        ({"user": "u" * 101}, "user"),
    ],
)
def test_what_the_contract_refuses_is_a_422_with_the_place(
    call: Caller, submitted: list[dict[str, Any]], fields: dict[str, Any], where: str
) -> None:
    told = problem(send(call, **fields), 422)

    assert [error["at"] for error in told["errors"]] == [where]
    assert not submitted


@pytest.mark.parametrize("tier", ["platinum", "", "FREE"])
def test_a_tier_that_is_not_in_the_register_is_a_422_that_names_those_that_are(
    call: Caller, submitted: list[dict[str, Any]], tier: str
) -> None:
    told = problem(send(call, tier=tier), 422)

    assert told["errors"] == [
        {"at": "tier", "message": "must be one of free, pro, enterprise, background"}
    ]
    assert not submitted


DEEP = b'{"x":' + b"[" * 100_000


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"{}", b'"\xff"', DEEP],
    ids=["empty", "cut off", "a list", "without fields", "not text", "deep"],
)
def test_a_body_that_is_no_event_is_a_422(call: Caller, body: bytes) -> None:
    response = call(
        "POST", "/api/events/user.messages.raw", body, HTTP_IDEMPOTENCY_KEY="k1"
    )

    assert problem(response, 422)["errors"][0]["message"]


@pytest.mark.parametrize("key", ["", "k" * 101])
def test_an_idempotency_key_is_needed(call: Caller, key: str) -> None:
    told = problem(send(call, key=key), 422)

    assert [error["at"] for error in told["errors"]] == ["Idempotency-Key"]


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (ingress.NotOwnerError(), 403, "conversation"),
        (ingress.IdReusedError("k1"), 409, "id_reused"),
        (ingress.TooLongError("9000 bytes; 8000 are allowed"), 413, "too_long"),
        (ingress.RateLimitedError(3.2), 429, "rate_limited"),
        (ingress.UnconfirmedError("no answer"), 503, "unconfirmed"),
        (ingress.BadMessageError("the message has no text"), 422, None),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_the_ingress_refuses_has_a_code(
    call: Caller,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    status: int,
    code: str | None,
) -> None:
    async def refuse(**_: str) -> Accepted:
        raise error

    monkeypatch.setattr(ingress, "submit", refuse)

    response = send(call)

    assert problem(response, status).get("code") == code
    if code == "rate_limited":
        assert response["Retry-After"] == "3"
