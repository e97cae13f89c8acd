"""Who may call the API: 401 without a token that counts, 403 with too little."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.http import HttpRequest
from django.http.request import UnreadablePostError
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from controlplane.accounts.models import ApiToken
from tests.api.conftest import Caller, make_token
from tests.factories import make_admin, make_moderator, make_user

pytestmark = pytest.mark.django_db

# method, path, scope, permission that the token's user lacks as a mere viewer
ROUTES = [
    ("GET", f"/api/traces/{'0' * 32}", "traces:read"),
    ("GET", "/api/approvals", "approvals:read"),
    (
        "POST",
        "/api/approvals/00000000-0000-4000-8000-000000000001/decision",
        "approvals:decide",
    ),
    ("GET", "/api/runtime", "runtime:read"),
    ("POST", "/api/events/user.messages.raw", "events:write"),
    ("GET", "/api/stops", "stops:read"),
    ("POST", "/api/stops", "stops:write"),
    (
        "POST",
        "/api/stops/00000000-0000-4000-8000-000000000001/release",
        "stops:release",
    ),
]
each_route = pytest.mark.parametrize(
    ("method", "path", "scope"), ROUTES, ids=[route[2] for route in ROUTES]
)


def problem(response: Any, status: int) -> dict[str, Any]:
    assert response.status_code == status, response.content
    assert response["Content-Type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    assert {"type", "title", "status", "detail", "errors"} <= set(body)
    assert body["status"] == status
    return body


@each_route
def test_without_a_token_it_is_401(
    call: Caller, method: str, path: str, scope: str
) -> None:
    response = call(method, path, token="")

    problem(response, 401)
    assert response["WWW-Authenticate"].startswith("Bearer")


@each_route
@pytest.mark.parametrize("ended", ["unknown", "expired", "revoked", "inactive"])
def test_with_a_token_that_no_longer_counts_it_is_401(
    call: Caller, method: str, path: str, scope: str, ended: str
) -> None:
    user = make_moderator()
    token = make_token(user)
    now = timezone.now()
    if ended == "expired":
        ApiToken.objects.update(expires_at=now - timedelta(seconds=1))
    elif ended == "revoked":
        ApiToken.objects.update(revoked_at=now)
    elif ended == "inactive":
        user.is_active = False
        user.save()
    else:
        token = "ilk_" + "x" * 43

    problem(call(method, path, token=token), 401)


@each_route
def test_without_the_scope_it_is_403(
    call: Caller, method: str, path: str, scope: str
) -> None:
    others = [other for other in ApiToken.Scope.values if other != scope]
    token = make_token(make_moderator(), *others)

    assert scope in problem(call(method, path, token=token), 403)["detail"]


@pytest.mark.parametrize(
    ("method", "path"), [route[:2] for route in ROUTES if route[2] != "events:write"]
)
def test_a_token_can_do_no_more_than_its_user(
    call: Caller, method: str, path: str
) -> None:
    token = make_token(make_user("nora"))  # no role

    assert problem(call(method, path, token=token), 403)["code"] == "permission"


def test_a_viewer_decides_nothing_with_whatever_token(call: Caller) -> None:
    token = make_token(make_user("vera", "viewer"))

    problem(call("POST", f"/api/approvals/{uuid4()}/decision", token=token), 403)


@pytest.mark.parametrize(
    "path", ["/api/stops", "/api/stops/00000000-0000-4000-8000-000000000001/release"]
)
def test_a_lead_stops_and_releases_nothing_with_whatever_token(
    call: Caller, path: str
) -> None:
    token = make_token(make_user("lea", "lead"))

    assert problem(call("POST", path, token=token), 403)["code"] == "permission"


def test_a_session_is_no_token(call: Caller, client: Any) -> None:
    client.force_login(make_moderator())

    problem(call("GET", "/api/runtime", token=""), 401)


def test_an_address_that_is_none_is_a_problem_too(call: Caller) -> None:
    problem(call("GET", "/api/nothing/here"), 404)


def test_a_post_to_an_address_that_is_none_is_a_404_without_a_cookie() -> None:
    careful = Client(enforce_csrf_checks=True)

    problem(careful.post("/api/nothing/here"), 404)


def test_a_method_that_is_none_is_a_problem_that_names_those_that_are(
    call: Caller,
) -> None:
    response = call("DELETE", "/api/stops")

    problem(response, 405)
    assert {word.strip() for word in response["Allow"].split(",")} == {"GET", "POST"}


@pytest.mark.parametrize(
    "path",
    ["/api/stops", "/api/events/user.messages.raw"],
    ids=["synchronous", "asynchronous"],
)
def test_a_body_that_is_too_large_is_a_413(
    call: Caller, settings: Settings, path: str
) -> None:
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 10
    token = make_token(make_admin())

    told = problem(call("POST", path, "{" + " " * 20 + "}", token=token), 413)
    assert told["code"] == "too_long"


def test_a_body_that_was_cut_off_is_a_400(
    call: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut_off(_: object) -> bytes:
        raise UnreadablePostError("the caller went away")

    monkeypatch.setattr(HttpRequest, "body", property(cut_off))
    token = make_token(make_admin())

    problem(call("POST", "/api/stops", "{}", token=token), 400)


def test_the_use_of_a_token_is_noted_once_a_minute(call: Caller) -> None:
    token = make_token(make_user("vera", "viewer"))

    def use() -> Any:
        assert call("GET", "/api/approvals", token=token).status_code == 200
        return ApiToken.objects.get().last_used_at

    first = use()
    assert use() == first
    a_while_ago = first - timedelta(seconds=61)
    ApiToken.objects.update(last_used_at=a_while_ago)
    assert use() > a_while_ago


def test_the_documentation_is_served_from_here(client: Any) -> None:
    html = client.get("/api/docs").content.decode()
    assert "https://" not in html
    assert "swagger-ui" in html

    document = client.get("/api/openapi.json").json()
    assert set(document["paths"]) == {
        "/api/traces/{trace_id}",
        "/api/approvals",
        "/api/approvals/{approval_id}/decision",
        "/api/runtime",
        "/api/events/{topic}",
        "/api/stops",
        "/api/stops/{stop_id}/release",
    }
    for path, operations in document["paths"].items():
        for operation in operations.values():
            assert {"401", "403", "429", "503"} <= set(operation["responses"]), path
