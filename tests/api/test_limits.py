"""How many requests a token may make in a minute."""

import time
from typing import Any

import pytest
from pytest_django import Settings
from structlog.testing import capture_logs

from controlplane.api import limits
from controlplane.embedded.services import Services
from tests.api.conftest import Caller, make_token
from tests.api.test_tokens import problem
from tests.factories import make_moderator, make_user
from tests.ports import own_port

pytestmark = pytest.mark.django_db


@pytest.fixture
def token() -> str:
    return make_token(make_user("vera", "viewer"))


def left(response: Any) -> int:
    """What the answer says of the token's minute."""
    assert response["RateLimit-Policy"].startswith('"token";q=')
    name, remaining, reset = response["RateLimit"].split(";")
    assert name == '"token"'
    assert 1 <= int(reset.removeprefix("t=")) <= 60
    return int(remaining.removeprefix("r="))


def test_what_is_over_the_limit_is_a_429_that_says_when(
    call: Caller, token: str, settings: Settings
) -> None:
    settings.API_REQUESTS_PER_MINUTE = 2
    assert left(call("GET", "/api/approvals", token=token)) == 1
    assert left(call("GET", "/api/approvals", token=token)) == 0

    response = call("GET", "/api/approvals", token=token)

    assert problem(response, 429)["code"] == "rate_limited"
    assert left(response) == 0
    assert 1 <= int(response["Retry-After"]) <= 60
    assert response["RateLimit-Policy"] == '"token";q=2;w=60'
    other = make_token(make_moderator())
    assert call("GET", "/api/approvals", token=other).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/api/approvals?limit=0", 422),
        ("GET", "/api/traces/none", 404),
        ("POST", "/api/stops", 403),
        ("POST", "/api/events/none", 404),
    ],
)
def test_every_answer_to_a_token_tells_its_limit(
    call: Caller, token: str, method: str, path: str, status: int
) -> None:
    response = call(method, path, token=token)

    problem(response, status)
    assert left(response) == 599


def test_what_has_no_token_has_no_limit_to_tell(call: Caller) -> None:
    assert "RateLimit" not in call("GET", "/api/approvals", token="")


def test_no_limit_can_be_set(call: Caller, token: str, settings: Settings) -> None:
    settings.API_REQUESTS_PER_MINUTE = 0

    response = call("GET", "/api/approvals", token=token)

    assert response.status_code == 200
    assert "RateLimit" not in response


def test_without_valkey_all_are_let_in_and_that_is_said_once(
    call: Caller,
    token: str,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "counter", limits.Counter())
    monkeypatch.setattr(limits, "RETRY_S", 0)
    settings.API_REQUESTS_PER_MINUTE = 1
    there = settings.REDIS_URL

    with capture_logs() as logged:
        settings.REDIS_URL = f"redis://127.0.0.1:{own_port(8900)}/0"
        for _ in range(3):
            response = call("GET", "/api/approvals", token=token)
            assert response.status_code == 200
            assert "RateLimit" not in response
        settings.REDIS_URL = there
        assert left(call("GET", "/api/approvals", token=token)) == 0

    said = [line["event"] for line in logged if line["event"].startswith("api_")]
    assert said == ["api_limits_are_off", "api_limits_are_on"]


def test_while_valkey_is_away_it_is_asked_now_and_then_only(
    call: Caller,
    token: str,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "counter", limits.Counter())
    there = settings.REDIS_URL
    settings.REDIS_URL = f"redis://127.0.0.1:{own_port(8900)}/0"
    call("GET", "/api/approvals", token=token)

    settings.REDIS_URL = there

    assert "RateLimit" not in call("GET", "/api/approvals", token=token)


def test_a_valkey_that_says_nothing_holds_nobody_up(
    call: Caller, token: str, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "counter", limits.Counter())
    assert left(call("GET", "/api/approvals", token=token)) == 599
    assert services.valkey is not None
    services.valkey.freeze()
    try:
        began_s = time.monotonic()
        answers = [call("GET", "/api/approvals", token=token) for _ in range(5)]
        took_s = time.monotonic() - began_s
    finally:
        services.valkey.thaw()

    assert all("RateLimit" not in answer for answer in answers)
    assert took_s < 3  # two tries of 0.25 s, once
