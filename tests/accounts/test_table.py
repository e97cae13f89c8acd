"""The table of who may do what, walked whole: every role, route, method and socket."""

from collections.abc import Iterator
from copy import copy
from typing import Any
from uuid import uuid4

import pytest
from asgiref.sync import sync_to_async
from channels.routing import URLRouter
from channels.testing import WebsocketCommunicator
from django.contrib.auth.models import AnonymousUser, User
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.test import Client, override_settings
from django.urls import URLPattern, URLResolver, get_resolver, path, reverse

from controlplane import urls
from controlplane.accounts import actions, table
from controlplane.accounts.models import ApiToken
from controlplane.accounts.roles import ROLES
from controlplane.audit.models import Entry
from controlplane.routes import websocket_urlpatterns
from tests.factories import make_user, sign_in_now

pytestmark = pytest.mark.django_db

WHO = (*ROLES, "no role", "nobody")
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
# Things that do not exist will do: who is let through is told that they do not.
ARGUMENTS: dict[str, dict[str, Any]] = {
    "moderation:item": {"approval_id": uuid4()},
    "traces:trace": {"trace_id": "ab" * 16},
    "traces:hops": {"trace_id": "ab" * 16},
    "traces:payload": {
        "trace_id": "ab" * 16,
        "topic": "user.messages.raw",
        "partition": 0,
        "offset": 0,
    },
    "deadletters:letter": {"letter_id": 1},
    "effects:effect": {"effect_id": 1},
    "stops:stop": {"stop_id": uuid4()},
    "stops:prove": {"stop_id": uuid4()},
    "stops:extend": {"stop_id": uuid4()},
    "stops:release": {"stop_id": uuid4()},
    "stops:lift": {"stop_id": uuid4()},
    "stops:rule": {"name": "nothing"},
    "incidents:report": {"stop_id": uuid4()},
    "incidents:print": {"stop_id": uuid4()},
    "incidents:export": {"stop_id": uuid4()},
    "incidents:correct": {"stop_id": uuid4()},
    "incidents:send": {"stop_id": uuid4()},
    "incidents:correction": {"stop_id": uuid4(), "correction_id": uuid4()},
    "incidents:confirm": {"stop_id": uuid4(), "correction_id": uuid4()},
    "rules:rule": {"slug": "nothing"},
    "rules:delete": {"slug": "nothing"},
    "rules:publication": {"key": 1_000_000},
    "rules:backtest": {"key": uuid4()},
    "rules:cancel-backtest": {"key": uuid4()},
    "rules:repeat-backtest": {"key": uuid4()},
    "rules:backtest-samples": {"key": uuid4()},
    "rules:evaluation": {"key": uuid4()},
    "rules:evaluation-report": {"key": uuid4()},
    "rules:cancel-evaluation": {"key": uuid4()},
    "rules:delete-evaluation": {"key": uuid4()},
    "deadletters:job": {"job_id": uuid4()},
    "deadletters:cancel": {"job_id": uuid4()},
    "accounts:person": {"person_id": 1_000_000},
    "accounts:role": {"person_id": 1_000_000},
    "accounts:teams-of": {"person_id": 1_000_000},
    "teams:team": {"slug": "nobody"},
    "teams:join": {"slug": "nobody"},
    "teams:leave": {"slug": "nobody", "person_id": 1_000_000},
    "teams:delete": {"slug": "nobody"},
    "accounts:disable": {"person_id": 1_000_000},
    "accounts:enable": {"person_id": 1_000_000},
    "accounts:sign-out": {"person_id": 1_000_000},
    "accounts:factors": {"person_id": 1_000_000},
    "accounts:link": {"person_id": 1_000_000},
    "accounts:revoke": {"token_id": 1_000_000},
    "mfa_edit_webauthn": {"pk": 1},
    "mfa_remove_webauthn": {"pk": 1},
    "openid_connect_login": {"provider_id": "sso"},
    "openid_connect_callback": {"provider_id": "sso"},
    "api-unknown": {"rest": "nothing/here"},
    "api:send_event": {"topic": "user.messages.raw"},
    "api:read_trace": {"trace_id": "ab" * 16},
    "api:decide": {"approval_id": uuid4()},
    "api:release": {"stop_id": uuid4()},
}
# They lead to the form by themselves: whoever is signed in comes past it.
ENTRANCE = {"account_logout", "mfa_authenticate", "mfa_login_webauthn"}
PAGES = {
    route: row
    for route, row in table.ROUTES.items()
    if not any(needs.startswith(table.SCOPE) for needs in row.values())
}
OPERATIONS = {route: row for route, row in table.ROUTES.items() if route not in PAGES}


@pytest.fixture
def people() -> dict[str, User]:
    return {
        role: make_user(role.replace(" ", "-"), "" if role == "no role" else role)
        for role in WHO[:-1]
    }


@pytest.fixture
def clients(people: dict[str, User]) -> dict[str, Client]:
    made = {who: Client(enforce_csrf_checks=False) for who in WHO}
    for who, user in people.items():
        sign_in_now(made[who], user)
    return made


def url_of(route: str) -> str:
    return reverse(route, kwargs=ARGUMENTS.get(route))


def may(who: str, needs: str) -> bool:
    if needs == table.PUBLIC:
        return True
    if needs == table.SIGNED_IN:
        return who != "nobody"
    return who not in {"nobody", "no role"} and needs in ROLES[who]


def routes(patterns: list[Any], namespaces: tuple[str, ...] = ()) -> Iterator[str]:
    for pattern in patterns:
        if isinstance(pattern, URLResolver):
            inner = (
                (*namespaces, pattern.namespace) if pattern.namespace else namespaces
            )
            yield from routes(pattern.url_patterns, inner)
        elif isinstance(pattern, URLPattern):
            yield ":".join((*namespaces, pattern.name or str(pattern.pattern)))


def test_every_route_has_a_row_and_every_row_a_route() -> None:
    found = {
        route
        for route in routes(get_resolver().url_patterns)
        if route.partition(":")[0] not in table.NAMESPACES
    }

    assert found == set(table.ROUTES)


def test_every_socket_has_a_row_and_every_row_a_socket() -> None:
    found = {str(pattern.pattern) for pattern in websocket_urlpatterns}

    assert found == set(table.SOCKETS)


def test_every_permission_that_is_needed_is_somebodys() -> None:
    needed = {needs for row in PAGES.values() for needs in row.values()}
    needed |= set(table.SCOPES.values()) | set(table.SOCKETS.values())
    given = {permission for permissions in ROLES.values() for permission in permissions}

    assert needed - given == {table.PUBLIC, table.SIGNED_IN, ""}


@pytest.mark.timeout(300)
def test_each_page_is_for_whom_the_table_says(
    clients: dict[str, Client], subtests: pytest.Subtests
) -> None:
    for route, row in PAGES.items():
        with subtests.test(route):
            for method in METHODS:
                for who in asking(row, method):
                    check(clients[who], who, route, method)


def asking(row: table.Row, method: str) -> tuple[str, ...]:
    """Everybody, where the answer depends on who it is. HEAD is what GET is."""
    needs = table.needs_of(row, method)
    if needs is None and method != "PUT":
        return ("admin",)
    if method == "HEAD" or needs in {None, table.PUBLIC}:
        return "admin", "nobody"
    return WHO


def check(client: Client, who: str, route: str, method: str) -> None:
    """Ask once, and leave everything as it was: everybody is signed in, and nothing is done."""
    cookies = copy(client.cookies)
    with transaction.atomic():
        check_answer(client, who, route, method)
        transaction.set_rollback(True)
    client.cookies = cookies


def check_answer(client: Client, who: str, route: str, method: str) -> None:
    row, url = PAGES[route], url_of(route)
    cell = f"{who}: {method} {url}"
    refusals = Entry.objects.filter(action="access_refused")
    before = refusals.count()

    response = client.generic(method, url)

    needs = table.needs_of(row, method)
    if needs is None:
        assert response.status_code == 405, cell
        assert response["Allow"] == ", ".join(table.methods(row)), cell
    elif may(who, needs):
        assert response.status_code not in {401, 403, 405}, cell
        assert not is_to_sign_in(response, route), cell
    elif who == "nobody":
        assert is_to_sign_in(response, route), cell
    else:
        assert response.status_code == 403, cell
        entry = refusals.latest("pk")
        assert (entry.actor, entry.subject) == (who.replace(" ", "-"), f"route:{route}")
        assert entry.detail == {"method": method, "path": url, "needs": needs}
    is_refused = needs is not None and not may(who, needs) and who != "nobody"
    assert refusals.count() == before + is_refused, cell


def is_to_sign_in(response: Any, route: str) -> bool:
    location = str(response.headers.get("Location", ""))
    return (
        response.status_code == 302
        and location.startswith(reverse("account_login"))
        and route not in ENTRANCE
    )


@pytest.mark.parametrize(
    "route",
    [route for route, row in PAGES.items() if "POST" in row and route != "api-unknown"],
)
def test_each_form_needs_the_key_of_its_page(
    people: dict[str, User], route: str
) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(people["admin"])

    response = client.post(url_of(route))

    assert response.status_code == 403
    assert "This page was open too long" in response.content.decode()


# The API


@pytest.mark.parametrize("route", OPERATIONS)
def test_each_operation_needs_its_scope_and_its_permission(
    people: dict[str, User], route: str
) -> None:
    for method, needs in OPERATIONS[route].items():
        wanted = needs.removeprefix(table.SCOPE)
        assert call(route, method, "") == 401
        for who, user in people.items():
            for scope in ApiToken.Scope.values:
                token = actions.create_token(user, scopes=[scope], actor="test")
                allowed = scope == wanted and (
                    not table.SCOPES[wanted] or may(who, table.SCOPES[wanted])
                )
                status = call(route, method, token)
                assert (status == 403) is not allowed, f"{who} {scope} {route}"
                assert status != 401


def call(route: str, method: str, token: str) -> int:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    client = Client(headers=headers)
    return client.generic(
        method, url_of(route), content_type="application/json"
    ).status_code


def test_the_scopes_of_tokens_are_those_of_the_table() -> None:
    assert set(ApiToken.Scope.values) == set(table.SCOPES)


@pytest.mark.parametrize("route", OPERATIONS)
def test_an_operation_answers_to_no_other_method(route: str) -> None:
    for method in set(METHODS) - set(table.methods(OPERATIONS[route])):
        assert call(route, method, "") == 405


# What has no row


def hello(request: HttpRequest) -> HttpResponse:
    return HttpResponse("a page that somebody forgot to write into the table")


class Routes:
    urlpatterns = [path("forgotten/", hello, name="forgotten"), *urls.urlpatterns]


def test_a_route_without_a_row_is_for_nobody(clients: dict[str, Client]) -> None:
    with override_settings(ROOT_URLCONF=Routes):
        assert clients["admin"].get("/forgotten/").status_code == 403
        assert Client().get("/forgotten/").status_code == 403


# Sockets


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("who", WHO)
async def test_each_socket_is_for_whom_the_table_says(who: str) -> None:
    user: User | AnonymousUser = AnonymousUser()
    if who != "nobody":
        user = await sync_to_async(make_user)(
            "somebody", "" if who == "no role" else who
        )
    for address, needs in table.SOCKETS.items():
        socket = WebsocketCommunicator(
            URLRouter(websocket_urlpatterns),  # type: ignore[arg-type]
            f"/{address}",
        )
        socket.scope["user"] = user  # type: ignore[typeddict-unknown-key]
        await socket.connect()
        if needs != table.PUBLIC:  # it says at once what there is, or goodbye
            first = await socket.receive_output()
            is_open = first["type"] != "websocket.close"
            assert is_open is may(who, needs), address
        await socket.disconnect()
