"""Administrators manage people: by pages, within rules, on record."""

from datetime import timedelta
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from django.contrib import admin
from django.contrib.auth.models import Permission, User
from django.contrib.sessions.models import Session
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from controlplane.accounts import actions, people
from controlplane.accounts.directory import state_of
from controlplane.accounts.models import ApiToken, Enrolment
from controlplane.audit.models import Entry
from tests.factories import TEAMS, make_moderator, make_user, sign_in_now

pytestmark = pytest.mark.django_db
LIST = reverse("accounts:people")


@pytest.fixture
def ada(client: Client) -> Client:
    sign_in_now(client, make_user("ada", "admin", is_staff=True))
    return client


def page_of(user: User) -> str:
    return reverse("accounts:person", args=[user.pk])


def press(client: Client, what: str, user: User, **fields: Any) -> Any:
    return client.post(reverse(f"accounts:{what}", args=[user.pk]), fields, follow=True)


def body(response: Any) -> str:
    return str(response.content.decode())


def latest() -> Entry:
    return Entry.objects.latest("pk")


# The list


def test_the_list_tells_who_there_is(ada: Client) -> None:
    mira = make_moderator("mira", "legal", "finance")
    Authenticator.objects.create(user=mira, type="totp", data={})
    actions.create_token(mira, scopes=["traces:read"], actor=mira)
    make_user("gone", is_active=False)
    people.add_person("lena", name="Lena Ek", email="", role="lead", actor="test")

    html = body(ada.get(LIST))

    row = html[html.index(">mira<") :]
    for said in ("active", "moderator", "Finance, Legal", "yes", "never", ">1<"):
        assert said in row
        row = row[row.index(said) :]
    assert "Lena Ek" in html
    assert "invited" in html
    assert "disabled" in html


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("words=EK+len", {"lena"}),
        ("words=mira@", {"mira"}),
        ("role=moderator", {"mira"}),
        ("role=none", {"gone"}),
        ("state=active", {"ada", "mira"}),
        ("state=invited&role=lead", {"lena"}),
        ("state=disabled", {"gone"}),
        ("after=lena", {"mira"}),
        ("words=zzz", set()),
    ],
)
def test_the_list_can_be_narrowed(ada: Client, query: str, found: set[str]) -> None:
    User.objects.filter(pk=make_user("mira", "moderator").pk).update(
        email="mira@b.example"
    )
    make_user("gone", is_active=False)
    people.add_person("lena", name="Lena Ek", email="", role="lead", actor="test")

    html = body(ada.get(f"{LIST}?{query}"))

    assert {
        name for name in ("ada", "mira", "gone", "lena") if f'/">{name}<' in html
    } == found
    assert ("Nobody matches" in html) == (not found)


def test_a_filter_that_makes_no_sense_says_so(ada: Client) -> None:
    response = ada.get(f"{LIST}?role=emperor")

    assert response.status_code == 422
    assert "The filter cannot be understood" in body(response)


def test_the_list_goes_on_where_it_ended(ada: Client) -> None:
    User.objects.bulk_create(User(username=f"p{number:02}") for number in range(60))

    first = body(ada.get(LIST))
    second = body(ada.get(f"{LIST}?after=p48"))

    assert "?after=p48" in first
    assert ">p48<" in first
    assert ">p49<" not in first
    assert ">p49<" in second
    assert "From the start" in second


def test_the_list_costs_the_same_for_few_and_many(ada: Client) -> None:
    ada.get(LIST)
    with CaptureQueriesContext(connection) as few:
        ada.get(LIST)
    for number in range(9):
        user = make_moderator(f"m{number}")
        actions.create_token(user, scopes=["traces:read"], actor=user)
    with CaptureQueriesContext(connection) as many:
        ada.get(LIST)
    assert len(many) == len(few)


# One person


def test_the_name_and_the_address_can_be_changed(ada: Client) -> None:
    mira = make_moderator()

    ada.post(page_of(mira), {"name": "Mira Bo", "email": "mira@b.example"})
    ada.post(page_of(mira), {"name": "Mira Bo", "email": "mira@b.example"})

    entry = Entry.objects.get(action="person_changed")
    assert (entry.actor, entry.subject) == ("ada", "user:mira")
    assert entry.detail == {
        "was": {"name": "", "email": ""},
        "now": {"name": "Mira Bo", "email": "mira@b.example"},
    }
    mira.refresh_from_db()
    assert (mira.get_full_name(), mira.email) == ("Mira Bo", "mira@b.example")


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"name": "a\u202eb"}, "characters that cannot be seen"),
        ({"email": "nowhere"}, "Enter a valid email address"),
        ({"email": "OTTO@b.example"}, "Somebody else has the address"),
    ],
)
def test_what_is_wrong_stands_beside_the_field(
    ada: Client, fields: dict[str, str], said: str
) -> None:
    make_user("otto", email="otto@b.example")
    mira = make_moderator()

    response = ada.post(page_of(mira), {"name": "Mira"} | fields)

    assert response.status_code == 422
    assert said in body(response)
    assert 'value="Mira"' in body(response) or "name" in fields
    assert not Entry.objects.filter(action="person_changed").exists()


def test_a_role_takes_the_place_of_all_rights_before(ada: Client) -> None:
    mira = make_user("mira", "moderator", is_superuser=True)
    mira.user_permissions.add(Permission.objects.get(codename="add_stop"))

    html = body(press(ada, "role", mira, role="admin"))

    assert "The role is now admin." in html
    mira = User.objects.get(pk=mira.pk)
    assert [group.name for group in mira.groups.all()] == ["admin"]
    assert (mira.is_superuser, mira.is_staff) == (False, True)
    assert not mira.user_permissions.exists()
    entry = latest()
    assert (entry.actor, entry.action, entry.subject) == (
        "ada",
        "role_changed",
        "user:mira",
    )
    assert entry.detail == {
        "was": {"roles": ["moderator"], "superuser": True, "own": ["add_stop"]},
        "now": {"roles": ["admin"], "superuser": False, "own": []},
    }
    press(ada, "role", mira, role="")
    mira = User.objects.get(pk=mira.pk)
    assert not mira.groups.exists()
    assert not mira.is_staff


def test_a_role_that_is_none_of_ours_is_refused(ada: Client) -> None:
    mira = make_moderator()

    assert press(ada, "role", mira, role="emperor").status_code == 422
    assert mira.groups.get().name == "moderator"


def test_the_same_role_again_is_no_change(ada: Client) -> None:
    mira = make_moderator()

    press(ada, "role", mira, role="moderator")

    assert not Entry.objects.filter(action="role_changed").exists()


def test_teams_can_be_chosen(ada: Client) -> None:
    mira = make_moderator("mira", *TEAMS)

    html = body(press(ada, "teams-of", mira, teams=["legal"]))

    assert "Teams saved." in html
    assert mira.teams.get().slug == "legal"
    assert latest().action == "teams_changed"
    assert press(ada, "teams-of", mira, teams=["nowhere"]).status_code == 422


def test_who_is_disabled_is_out_with_tokens_links_and_sessions(ada: Client) -> None:
    mira, own = make_moderator(), Client()
    own.force_login(mira)
    actions.create_token(mira, scopes=["traces:read"], actor=mira)
    press(ada, "link", mira)

    html = body(press(ada, "disable", mira))

    assert "Disabled: signed out everywhere" in html
    assert own.get("/queue/")["Location"].startswith(reverse("account_login"))
    assert not ApiToken.objects.usable().exists()
    assert not Enrolment.objects.exists()
    assert latest().detail == {"sessions_ended": 1}
    assert "Enabled" in body(press(ada, "enable", mira))
    assert own.get("/queue/").status_code == 302  # the old session stays ended
    assert ApiToken.objects.usable().exists()


def test_signing_out_everywhere_ends_all_sessions_of_this_person(ada: Client) -> None:
    mira, clients = make_moderator(), [Client(), Client()]
    for one in clients:
        one.force_login(mira)

    press(ada, "sign-out", mira)

    assert [one.get("/queue/").status_code for one in clients] == [302, 302]
    assert Session.objects.count() == 1
    assert (latest().action, latest().detail) == (
        "signed_out_everywhere",
        {"sessions_ended": 2},
    )


def test_a_lost_device_can_be_taken_away(ada: Client) -> None:
    mira, own = make_moderator(), Client()
    own.force_login(mira)
    for kind in ("totp", "recovery_codes"):
        Authenticator.objects.create(user=mira, type=kind, data={})
    assert "Remove the second factor" in body(ada.get(page_of(mira)))

    html = body(press(ada, "factors", mira))

    assert "No second factor any more, and signed out" in html
    assert not Authenticator.objects.exists()
    removed = Entry.objects.filter(action="factor_removed", subject="user:mira")
    assert {(one.actor, one.detail["type"]) for one in removed} == {
        ("ada", "totp"),
        ("ada", "recovery_codes"),
    }
    assert "Remove the second factor" not in html
    assert own.get("/queue/").status_code == 302
    assert Entry.objects.filter(action="factors_forgotten", actor="ada").exists()


@pytest.mark.parametrize("what", ["role", "disable", "enable", "factors", "link"])
def test_nobody_does_it_to_his_own_account(ada: Client, what: str) -> None:
    user = User.objects.get(username="ada")
    make_user("ben", "admin")

    response = press(ada, what, user, role="viewer")

    assert response.status_code == 409
    assert "This is your own account: another administrator has to do it." in body(
        response
    )
    user.refresh_from_db()
    assert (user.is_active, user.groups.get().name) == (True, "admin")
    assert not Entry.objects.exists()


@pytest.mark.parametrize("act", ["set_role", "disable"])
@pytest.mark.parametrize("other", ["", "disabled", "invited"])
def test_the_last_active_administrator_stays(act: str, other: str) -> None:
    ada = make_user("ada", "admin")
    if other == "disabled":
        make_user("ben", "admin", is_active=False)
    if other == "invited":
        people.add_person("ben", name="", email="", role="admin", actor="test")
    arguments = ["lead"] if act == "set_role" else []

    with pytest.raises(people.LastAdministratorError, match="ada is the last active"):
        getattr(people, act)(ada.pk, *arguments, actor="shell:root")

    ada.refresh_from_db()
    assert (ada.is_active, ada.groups.get().name) == (True, "admin")
    make_user("cleo", "admin")
    assert getattr(people, act)(ada.pk, *arguments, actor="shell:root")


def test_who_is_no_administrator_any_more_is_told_so() -> None:
    ada, mira = make_user("ada", "admin"), make_moderator()
    make_user("ben", "admin")
    people.set_role(ada.pk, "viewer", actor="ben")

    with pytest.raises(people.NoLongerAllowedError, match="Your role has just changed"):
        people.set_role(mira.pk, "lead", actor=ada)


def test_the_page_tells_of_tokens_and_of_the_log_page_by_page(ada: Client) -> None:
    mira = make_moderator()
    actions.create_token(mira, scopes=["traces:read"], name="shop", actor=mira)
    for number in range(12):
        people.change_person(mira.pk, name=f"M {number}", email="", actor="ada")

    html = body(ada.get(page_of(mira)))

    assert "shop" in html
    assert html.count(">person_changed<") == 10
    oldest = Entry.objects.order_by("-pk")[9].pk
    older = body(ada.get(f"{page_of(mira)}?before={oldest}"))
    assert older.count(">person_changed<") == 2
    assert ">token_created<" in older
    assert "Latest</a>" in older
    assert ada.get(f"{page_of(mira)}?before=x").status_code == 200


def test_an_auditor_reads_and_is_offered_no_change(client: Client) -> None:
    client.force_login(make_user("otto", "auditor"))
    mira = make_moderator()

    for page in (LIST, page_of(mira)):
        html = body(client.get(page))
        main = html[html.index("<main") :]
        assert 'method="post"' not in main
        assert "Add a person" not in main


def test_django_admin_is_no_way_around() -> None:
    ours = {"guardrails"}

    assert {model._meta.app_label for model in admin.site._registry} <= ours


def test_an_account_is_active_once_somebody_came_in_by_another_way() -> None:
    lena = people.add_person("lena", name="", email="", role="lead", actor="test")
    assert state_of(lena) == "invited"

    lena.last_login = timezone.now() - timedelta(days=1)

    assert state_of(lena) == "active"
