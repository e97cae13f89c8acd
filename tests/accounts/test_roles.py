"""The roles: every permission that they name exists, and an auditor changes nothing."""

from itertools import pairwise

import pytest
from django.contrib.auth.models import Group

from controlplane.accounts.roles import ROLES
from controlplane.accounts.table import OF_TEAMS
from tests.factories import make_user

EVERY_TEAM = OF_TEAMS["moderation.approval"]
pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("role", ROLES)
def test_a_role_is_a_group_with_exactly_its_permissions(role: str) -> None:
    found = {
        f"{permission.content_type.app_label}.{permission.codename}"
        for permission in Group.objects.get(name=role).permissions.all()
    }

    assert found == set(ROLES[role])


@pytest.mark.parametrize("role", ["viewer", "auditor"])
def test_who_only_reads_may_change_nothing(role: str) -> None:
    assert all(code.split(".")[1].startswith("view_") for code in ROLES[role])
    assert not make_user("otto", role).has_perm("moderation.decide_approval")


def test_nobody_may_change_or_delete_the_audit_log() -> None:
    codes = {code for wanted in ROLES.values() for code in wanted}

    assert {code for code in codes if code.startswith("audit.")} == {"audit.view_entry"}


def test_each_role_of_the_line_can_what_the_one_below_can() -> None:
    line = [set(ROLES[role]) for role in ("viewer", "moderator", "lead", "admin")]
    line[0] -= {EVERY_TEAM}  # a moderator works for his own

    assert all(lower < higher for lower, higher in pairwise(line))


def test_only_a_moderator_is_bound_to_his_teams() -> None:
    assert {role for role in ROLES if EVERY_TEAM not in ROLES[role]} == {"moderator"}
