"""What waits for a team is for its members, and for who may see every team."""

import json
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from controlplane.accounts.actions import create_token, set_teams
from controlplane.accounts.roles import ROLES
from controlplane.accounts.table import OF_TEAMS
from controlplane.audit.models import Entry
from controlplane.close_codes import FORBIDDEN
from moderation.models import Approval, Decision
from tests.factories import make_approval, make_moderator, make_teams, make_user
from tests.moderation.rows import form_of
from tests.moderation.test_socket import close_code, opened, socket_of

EVERY_TEAM = OF_TEAMS["moderation.approval"]
QUEUE = reverse("moderation:queue")


def item(approval: Approval) -> str:
    return reverse("moderation:item", args=[approval.pk])


def person(role: str) -> User:
    """Somebody of the team legal, whatever the role."""
    user = make_user(role, role)
    make_teams()
    set_teams(user, ["legal"], editor="test")
    return user


def client_of(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def call(user: User, method: str, path: str, body: Any = None) -> Any:
    scopes = ["approvals:read", "approvals:decide"]
    token = create_token(user, scopes=scopes, actor="test")
    client = Client(headers={"Authorization": f"Bearer {token}"})
    content = json.dumps(body) if body else ""
    return client.generic(method, path, content, content_type="application/json")


@pytest.mark.django_db
@pytest.mark.parametrize("role", ROLES)
def test_each_role_sees_and_decides_what_the_table_says(role: str) -> None:
    user, own = person(role), make_approval(team="legal")
    other, more = make_approval(team="discount"), make_approval(team="discount")
    visible = {own, other, more} if EVERY_TEAM in ROLES[role] else {own}
    client = client_of(user)

    listed = client.get(QUEUE).content.decode()
    told = call(user, "GET", "/api/approvals").json()["items"]
    seen = [client.get(item(one)).status_code for one in (own, other)]
    by_page = client.post(item(other), form_of(other, then_next="")).status_code
    by_api = call(
        user,
        "POST",
        f"/api/approvals/{more.pk}/decision",
        {"verdict": "approve", "fingerprint": more.fingerprint},
    ).status_code

    assert {one for one in (own, other, more) if f"row-{one.pk}" in listed} == visible
    assert {one["id"] for one in told} == {str(one.pk) for one in visible}
    assert seen == [200, 200 if other in visible else 403]
    may_decide = "moderation.decide_approval" in ROLES[role] and other in visible
    assert (by_page == 302, by_api == 200) == (may_decide, may_decide)
    assert (by_page == 403, by_api == 403) == (not may_decide, not may_decide)
    assert Decision.objects.count() == 2 * may_decide


@pytest.mark.django_db
def test_a_refusal_is_on_record() -> None:
    jonas, approval = make_moderator("jonas", "legal"), make_approval(team="discount")

    client_of(jonas).post(item(approval), form_of(approval))
    problem = call(
        jonas,
        "POST",
        f"/api/approvals/{approval.pk}/decision",
        {"verdict": "approve", "fingerprint": approval.fingerprint},
    ).json()

    assert (problem["status"], problem["code"]) == (403, "team")
    refusals = Entry.objects.filter(action="access_refused", actor="jonas")
    assert [(one.subject, one.detail["needs"]) for one in refusals.order_by("pk")] == [
        ("route:moderation:item", EVERY_TEAM),
        ("route:api:decide", EVERY_TEAM),
    ]


@pytest.mark.django_db
def test_the_next_answer_is_one_of_the_own_teams() -> None:
    jonas = make_moderator("jonas", "legal")
    own = [make_approval(team="legal") for _ in range(2)]
    make_approval(team="discount", deadline_at=own[0].created_at)  # more urgent

    response = client_of(jonas).post(
        item(own[0]), form_of(own[0]), headers={"HX-Request-Type": "partial"}
    )

    assert response["HX-Push-Url"] == item(own[1])


@pytest.mark.django_db
def test_the_counts_are_those_of_the_own_teams() -> None:
    jonas = make_moderator("jonas", "legal")
    make_approval(team="legal")
    for _ in range(3):
        make_approval(team="discount")

    page = client_of(jonas).get(QUEUE).content.decode()

    assert '<b id="queue-count">1<' in page
    assert "All <b>1<span" in page
    assert "Discounts <b>" not in page


@pytest.mark.django_db
def test_who_is_in_no_team_is_told_so() -> None:
    jonas = make_user("jonas", "moderator")
    make_approval()

    page = client_of(jonas).get(QUEUE).content.decode()

    assert "You are in no team yet" in page


@pytest.mark.django_db
def test_a_change_of_teams_is_on_record_once() -> None:
    make_teams()
    jonas = make_moderator("jonas", "legal")

    for _ in range(2):
        set_teams(jonas, ["finance", "general"], editor="ada")

    entry = Entry.objects.get(action="teams_changed")
    assert (entry.actor, entry.subject) == ("ada", "user:jonas")
    assert entry.detail == {"teams": ["finance", "general"], "were": ["legal"]}


# Sockets


@pytest.mark.django_db(transaction=True)
async def test_a_socket_on_an_answer_of_another_team_is_closed() -> None:
    jonas = await sync_to_async(make_moderator)("jonas", "legal")
    approval = await sync_to_async(make_approval)(team="discount")

    socket = socket_of(jonas, f"item={approval.pk}")

    assert await close_code(socket) == FORBIDDEN


@pytest.mark.django_db(transaction=True)
async def test_who_leaves_a_team_loses_its_answers_within_a_second() -> None:
    jonas = await sync_to_async(make_moderator)("jonas", "legal", "discount")
    approval = await sync_to_async(make_approval)(team="discount")
    looking, _ = await opened(jonas, f"item={approval.pk}")
    listing, before = await opened(jonas)

    await sync_to_async(set_teams)(jonas, ["legal"], editor="ada")

    listed = await listing.receive_from(timeout=10)
    closed = await looking.receive_output(timeout=10)
    assert f"row-{approval.pk}" in before
    assert f"row-{approval.pk}" not in listed
    assert (closed["type"], closed["code"]) == ("websocket.close", FORBIDDEN)
    await listing.disconnect()
