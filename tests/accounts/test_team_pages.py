"""The pages of teams: who is in which, and what keeps a team from being deleted."""

from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from controlplane.accounts.models import Team
from controlplane.audit.models import Entry
from tests.factories import TEAMS, make_approval, make_moderator, make_user

pytestmark = pytest.mark.django_db
LIST = reverse("teams:list")


@pytest.fixture
def ada(client: Client) -> Client:
    client.force_login(make_user("ada", "admin"))
    return client


@pytest.fixture
def claims(db: None) -> Team:
    return Team.objects.create(slug="claims", name="Claims")


def body(response: Any) -> str:
    return str(response.content.decode())


def press(client: Client, what: str, team: Team, *more: int, **fields: str) -> Any:
    url = reverse(f"teams:{what}", args=[team.slug, *more])
    return client.post(url, fields, follow=True)


def latest() -> Entry:
    return Entry.objects.latest("pk")


def test_a_team_is_added(ada: Client) -> None:
    response = ada.post(LIST, {"name": "Claims", "slug": "claims"})

    assert response["Location"] == reverse("teams:team", args=["claims"])
    assert (latest().actor, latest().action, latest().subject) == (
        "ada",
        "team_added",
        "team:claims",
    )


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"slug": "claims"}, "already exists"),
        ({"slug": "no spaces"}, "Enter a valid"),
        ({"name": ""}, "This field is required"),
        ({"name": "a\u202eb"}, "characters that cannot be seen"),
    ],
)
def test_what_is_wrong_adds_none(
    ada: Client, claims: Team, fields: dict[str, str], said: str
) -> None:
    before = Team.objects.count()

    response = ada.post(LIST, {"name": "More", "slug": "more"} | fields)

    assert response.status_code == 422
    assert said in body(response)
    assert Team.objects.count() == before
    assert not Entry.objects.exists()


def test_a_team_gets_another_name_and_keeps_its_short_one(
    ada: Client, claims: Team
) -> None:
    press(ada, "team", claims, name="Damage", slug="damage")

    claims.refresh_from_db()
    assert (claims.name, claims.slug) == ("Damage", "claims")
    assert latest().detail == {"name": "Damage", "was": "claims", "was_name": "Claims"}
    assert press(ada, "team", claims, name="").status_code == 422


def test_people_join_and_leave(ada: Client, claims: Team) -> None:
    mira = make_moderator("mira", "legal")
    make_user("gone", is_active=False)

    joined = body(press(ada, "join", claims, username="mira"))

    assert "mira is in the team." in joined
    assert [team.slug for team in mira.teams.order_by("slug")] == ["claims", "legal"]
    assert latest().detail == {"teams": ["claims", "legal"], "were": ["legal"]}
    for nobody in ("nobody", "gone", ""):
        assert press(ada, "join", claims, username=nobody).status_code == 422
    assert "mira is no longer in the team." in body(
        press(ada, "leave", claims, mira.pk)
    )
    assert mira.teams.get().slug == "legal"
    assert latest().action == "teams_changed"
    assert press(ada, "leave", claims, 1_000_000).status_code == 404


def test_a_lead_says_who_is_in_a_team_and_neither_adds_nor_deletes_one(
    client: Client, claims: Team
) -> None:
    client.force_login(make_user("lena", "lead"))
    make_moderator("mira", "legal")

    assert press(client, "join", claims, username="mira").status_code == 200
    html = body(client.get(LIST))
    assert "A new team" not in html
    assert ">Teams</a>" in html[: html.index("<main")]
    assert press(client, "delete", claims).status_code == 403
    assert client.post(LIST, {"name": "More", "slug": "more"}).status_code == 403


def test_an_auditor_only_reads(client: Client, claims: Team) -> None:
    client.force_login(make_user("otto", "auditor"))

    for page in (LIST, reverse("teams:team", args=["claims"])):
        html = body(client.get(page))
        assert 'method="post"' not in html[html.index("<main") :]


def test_a_team_for_which_nothing_waits_can_be_deleted(
    ada: Client, claims: Team
) -> None:
    claims.members.add(make_moderator("mira", "legal"))
    make_approval(team="claims", state="approved")

    html = body(press(ada, "delete", claims))

    assert "Claims is deleted." in html
    assert not Team.objects.filter(slug="claims").exists()
    assert (latest().action, latest().subject) == ("team_deleted", "team:claims")
    assert latest().detail == {"name": "Claims", "members": ["mira"]}


def test_a_team_for_which_answers_wait_stays(ada: Client, claims: Team) -> None:
    make_approval(team="claims")

    response = press(ada, "delete", claims)

    assert response.status_code == 409
    assert "1 held answer waits for it: decide on it first." in body(response)
    make_approval(team="claims")
    assert "2 held answers wait for it: decide on them first." in body(
        press(ada, "delete", claims)
    )
    assert Team.objects.filter(slug="claims").exists()


@pytest.mark.parametrize("slug", TEAMS)
def test_a_team_that_rules_may_name_stays(ada: Client, slug: str) -> None:
    team, _ = Team.objects.get_or_create(slug=slug, defaults={"name": TEAMS[slug]})

    response = press(ada, "delete", team)

    assert response.status_code == 409
    assert "Rules send held answers to it" in body(response)


def test_the_list_counts_what_waits_and_costs_the_same(
    ada: Client, claims: Team
) -> None:
    ada.get(LIST)
    with CaptureQueriesContext(connection) as few:
        ada.get(LIST)
    for number in range(3):
        claims.members.add(make_user(f"m{number}", "moderator"))
        make_approval(team="claims")
    with CaptureQueriesContext(connection) as many:
        html = body(ada.get(LIST))
    assert len(many) == len(few)

    assert f'{reverse("moderation:queue")}?team=claims">3</a>' in html
    assert "m0, m1, m2" in html


def test_without_a_team_the_page_says_so(ada: Client) -> None:
    Team.objects.all().delete()

    assert "No team yet" in body(ada.get(LIST))
