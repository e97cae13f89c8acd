"""The pages of tokens: made for oneself, shown once, ended by whoever may."""

import hashlib
import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from controlplane.accounts import actions, table
from controlplane.accounts.models import ApiToken
from controlplane.accounts.people_forms import SCOPE_WORDS
from controlplane.audit.models import Entry
from tests.factories import make_moderator, make_user, sign_in_now

pytestmark = pytest.mark.django_db
TOKENS = reverse("accounts:tokens")
NEW = {"name": "shop", "scopes": ["events:write", "traces:read"], "days": "7"}


def signed_in(user: User) -> Client:
    client = Client()
    sign_in_now(client, user)
    return client


def body(response: Any) -> str:
    return str(response.content.decode())


def make_token(user: User, name: str) -> ApiToken:
    actions.create_token(user, scopes=["traces:read"], name=name, actor=user)
    return ApiToken.objects.latest("pk")


def revoke(client: Client, token: ApiToken) -> Any:
    return client.post(reverse("accounts:revoke", args=[token.pk]), follow=True)


def test_a_token_is_shown_once_and_kept_as_a_hash() -> None:
    client = signed_in(make_moderator())

    response = client.post(TOKENS, NEW)

    [token] = re.findall(r'value="(ilk_[\w-]{43})"', body(response))
    assert "no-store" in response["Cache-Control"]
    row = ApiToken.objects.get()
    assert row.sha256 == hashlib.sha256(token.encode()).hexdigest()
    assert (row.user.username, row.name) == ("mira", "shop")
    assert row.scopes == ["events:write", "traces:read"]
    listed = body(client.get(TOKENS))
    assert "shop" in listed
    assert "ilk_" not in listed
    assert Entry.objects.get(action="token_created").actor == "mira"
    assert not Entry.objects.filter(detail__icontains=token).exists()


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"scopes": []}, "Choose at least one."),
        ({"scopes": ["stops:write"]}, "Select a valid choice"),
        ({"scopes": ["everything"]}, "Select a valid choice"),
        ({"name": ""}, "This field is required"),
        ({"name": "a\u202eb"}, "characters that cannot be seen"),
        ({"days": "367"}, "less than or equal to 366"),
        ({"days": "0"}, "greater than or equal to 1"),
    ],
)
def test_what_is_wrong_makes_none(fields: dict[str, Any], said: str) -> None:
    response = signed_in(make_moderator()).post(TOKENS, NEW | fields)

    assert response.status_code == 422
    assert said in body(response)
    assert not ApiToken.objects.exists()


def test_a_person_is_offered_what_the_role_allows() -> None:
    offered = re.findall(
        r'name="scopes" value="([\w:]+)"',
        body(signed_in(make_moderator()).get(TOKENS)),
    )

    assert offered == [
        "events:write",
        "traces:read",
        "approvals:read",
        "approvals:decide",
        "runtime:read",
        "stops:read",
    ]
    assert set(SCOPE_WORDS) == set(table.SCOPES)


def test_everybody_sees_his_own_and_an_administrator_all() -> None:
    mira, jonas = make_moderator(), make_moderator("jonas")
    make_token(mira, "of-mira")
    other = make_token(jonas, "of-jonas")
    mira_client, ada_client = signed_in(mira), signed_in(make_user("ada", "admin"))

    own, every = body(mira_client.get(TOKENS)), body(ada_client.get(TOKENS))

    assert ("of-mira" in own, "of-jonas" in own) == (True, False)
    assert ("of-mira" in every, "of-jonas" in every) == (True, True)
    assert revoke(mira_client, other).status_code == 404
    assert ApiToken.objects.usable().count() == 2


def test_one_ends_his_own_and_an_administrator_anybodys() -> None:
    mira = make_moderator()
    first, second = make_token(mira, "one"), make_token(mira, "two")

    assert "Revoked." in body(revoke(signed_in(mira), first))
    ada = signed_in(make_user("ada", "admin"))
    assert "Revoked." in body(revoke(ada, second))
    assert "It had been revoked before." in body(revoke(ada, second))

    assert not ApiToken.objects.usable().exists()
    entries = Entry.objects.filter(action="token_revoked").order_by("pk")
    assert [one.actor for one in entries] == ["mira", "ada"]


def test_an_auditor_reads_and_may_make_or_end_none() -> None:
    token = make_token(make_moderator(), "shop")
    otto = signed_in(make_user("otto", "auditor"))

    html = body(otto.get(TOKENS))

    assert "shop" in html
    assert 'method="post"' not in html[html.index("<main") :]
    assert otto.post(TOKENS, NEW).status_code == 403
    assert revoke(otto, token).status_code == 403


def test_the_list_can_be_narrowed_and_shows_the_state_of_each() -> None:
    mira, gone = make_moderator(), make_user("gone", is_active=False)
    make_token(mira, "live")
    actions.revoke_token(make_token(mira, "ended").pk, actor=mira)
    for user, name in ((mira, "old"), (gone, "orphan")):
        ApiToken.objects.create(
            user=user,
            name=name,
            sha256=name,
            scopes=["traces:read"],
            expires_at=timezone.now() + timedelta(days=1 if user == gone else -1),
        )
    ada = signed_in(make_user("ada", "admin"))

    live = body(ada.get(TOKENS))
    every = body(ada.get(f"{TOKENS}?ended=on"))
    few = body(ada.get(f"{TOKENS}?ended=on&words=gone"))
    none = body(ada.get(f"{TOKENS}?words=zzz"))

    names = ("live", "ended", "old", "orphan")
    assert [f">{name}</b>" in live for name in names] == [True, False, False, False]
    assert all(f">{name}</b>" in every for name in names)
    for state in ("usable", "revoked", "expired", "user inactive"):
        assert f">{state}</span>" in every
    assert [f">{name}</b>" in few for name in names] == [False, False, False, True]
    assert "No token matches" in none
    assert ada.get(f"{TOKENS}?before=x").status_code == 422


def test_the_list_goes_on_and_costs_the_same() -> None:
    mira = make_moderator()
    client = signed_in(mira)
    make_token(mira, "first")
    client.get(TOKENS)
    with CaptureQueriesContext(connection) as few:
        client.get(TOKENS)
    for number in range(50):
        make_token(mira, f"t{number}")
    with CaptureQueriesContext(connection) as many:
        newest = body(client.get(TOKENS))
    assert len(many) == len(few)

    [before] = re.findall(r"\?before=(\d+)", newest)
    older = body(client.get(f"{TOKENS}?before={before}"))
    assert (">first<" in newest, ">first<" in older) == (False, True)
    assert "Newest</a>" in older
