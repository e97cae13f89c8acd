"""Demo data: there once, whatever people have changed since."""

import pytest
from django.contrib.auth.models import User

from agents.topics import TIERS
from controlplane.audit.models import Entry
from controlplane.home.demo import PEOPLE, seed
from controlplane.routing.models import Backend, Tier
from controlplane.runtime.models import ControlVersion
from guardrails.dealer import DEALER
from guardrails.models import Publication, Rule

pytestmark = pytest.mark.django_db

PASSWORD = "correct horse battery"


def test_people_have_their_roles_and_can_sign_in() -> None:
    created = seed(PASSWORD)

    assert {user.username for user in created} == set(PEOPLE)
    for name, role in PEOPLE.items():
        user = User.objects.get(username=name)
        assert [group.name for group in user.groups.all()] == [role]
        assert user.check_password(PASSWORD)
        assert user.is_staff == (role == "admin")


def test_every_tier_is_routed_and_the_dealers_rules_are_in_force() -> None:
    seed(PASSWORD)

    assert {tier.name for tier in Tier.objects.all()} == set(TIERS)
    assert Rule.objects.count() == len(DEALER.rules)
    assert Publication.objects.count() == 1


def test_a_second_time_changes_nothing() -> None:
    seed(PASSWORD)
    before = Entry.objects.count(), ControlVersion.objects.get().version
    Rule.objects.filter(slug=DEALER.rules[0].id).update(name="edited")

    assert seed("another password") == []

    assert (Entry.objects.count(), ControlVersion.objects.get().version) == before
    assert Rule.objects.filter(name="edited").exists()
    assert User.objects.get(username="ada").check_password(PASSWORD)


def test_what_is_missing_is_added() -> None:
    seed(PASSWORD)
    User.objects.get(username="vera").delete()
    Tier.objects.get(name="pro").delete()

    assert [user.username for user in seed(PASSWORD)] == ["vera"]
    assert Tier.objects.filter(name="pro").exists()
    assert Backend.objects.count() == 1
