"""Who may call the API: 401 without a token that counts, 403 with too little."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.utils import timezone

from controlplane.accounts.models import ApiToken
from tests.api.conftest import Caller, make_token
from tests.factories import make_user

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
    user = make_user("mira", "moderator")
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
    token = make_token(make_user("mira", "moderator"), *others)

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


def test_a_session_is_no_token(call: Caller, client: Any) -> None:
    client.force_login(make_user("mira", "moderator"))

    problem(call("GET", "/api/runtime", token=""), 401)


def test_an_address_that_is_none_is_a_problem_too(call: Caller) -> None:
    problem(call("GET", "/api/nothing/here"), 404)


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
    }
