"""Teams in the admin: whatever changes them is in the audit log."""

import pytest
from django.test import Client
from django.urls import reverse

from controlplane.audit.models import Entry
from moderation.models import Team
from tests.factories import make_user

pytestmark = pytest.mark.django_db

ADD = reverse("admin:moderation_team_add")
LIST = reverse("admin:moderation_team_changelist")


@pytest.fixture
def ada(client: Client) -> Client:
    client.force_login(make_user("ada", is_staff=True, is_superuser=True))
    return client


def make_team(ada: Client) -> Team:
    ada.post(ADD, {"slug": "claims", "name": "Claims"})
    return Team.objects.get(slug="claims")


def latest() -> Entry:
    entry = Entry.objects.order_by("pk").last()
    assert entry is not None
    return entry


def test_a_team_that_is_added_is_on_record(ada: Client) -> None:
    make_team(ada)

    entry = latest()
    assert (entry.actor, entry.action, entry.subject) == (
        "ada",
        "team_added",
        "team:claims",
    )
    assert entry.detail == {"name": "Claims"}


def test_a_team_that_is_changed_is_on_record_with_what_it_was(ada: Client) -> None:
    team = make_team(ada)
    page = reverse("admin:moderation_team_change", args=[team.pk])

    ada.post(page, {"slug": "damage", "name": "Damage"})

    team.refresh_from_db()
    assert (team.slug, team.name) == ("damage", "Damage")
    entry = latest()
    assert (entry.action, entry.subject) == ("team_changed", "team:damage")
    assert entry.detail == {"name": "Damage", "was": "claims", "was_name": "Claims"}


def test_a_team_that_is_refused_is_not_on_record(ada: Client) -> None:
    make_team(ada)

    again = ada.post(ADD, {"slug": "claims", "name": "Claims again"})

    assert again.status_code == 200
    assert Entry.objects.count() == 1


def test_teams_that_are_deleted_are_on_record(ada: Client) -> None:
    team = make_team(ada)

    ada.post(reverse("admin:moderation_team_delete", args=[team.pk]), {"post": "yes"})

    assert not Team.objects.filter(pk=team.pk).exists()
    assert (latest().action, latest().subject) == ("team_deleted", "team:claims")


def test_teams_that_are_deleted_from_the_list_are_on_record(ada: Client) -> None:
    team = make_team(ada)

    ada.post(
        LIST,
        {
            "action": "delete_selected",
            "_selected_action": [str(team.pk)],
            "post": "yes",
        },
    )

    assert not Team.objects.filter(pk=team.pk).exists()
    assert (latest().action, latest().subject) == ("team_deleted", "team:claims")
