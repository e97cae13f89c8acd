"""manage.py tokens: which there are, and ending them."""

from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from controlplane.accounts import actions
from controlplane.accounts.models import ApiToken
from controlplane.audit.models import Entry
from tests.factories import make_admin, make_user

pytestmark = pytest.mark.django_db


def tokens(*arguments: str) -> list[list[str]]:
    out = StringIO()
    call_command("tokens", *arguments, stdout=out)
    return [line.split() for line in out.getvalue().splitlines()]


def make_token(**fields: Any) -> ApiToken:
    defaults = {"scopes": ["traces:read"], "actor": "test"}
    token = actions.create_token(**(defaults | fields))
    return ApiToken.objects.get(sha256=actions.sha256_of(token))


def test_lists_those_that_can_be_used_by_name_and_use() -> None:
    ada, gone = make_admin(), make_user("gone")
    report = make_token(user=ada, name=" weekly-report ")
    ended, late, left = (
        make_token(user=ada),
        make_token(user=ada),
        make_token(user=gone),
    )
    actions.revoke_token(ended.pk, actor=ada)
    ApiToken.objects.filter(pk=late.pk).update(expires_at=timezone.now())
    gone.is_active = False
    gone.save()

    [head, row] = tokens("list")
    assert head[:3] == ["id", "user", "name"]
    assert row[:5] == [str(report.pk), "ada", "weekly-report", "usable", "never"]

    actions.note_use(report)
    rows = {int(row[0]): row for row in tokens("list", "--all")[1:]}
    assert rows[report.pk][4] == f"{timezone.now():%Y-%m-%d}"
    assert rows[ended.pk][2:4] == ["-", "revoked"]
    assert rows[late.pk][3] == "expired"
    assert rows[left.pk][3:5] == ["user", "inactive"]
    assert len(tokens("list", "--all", "--user", "gone")) == 2


def test_revokes_those_that_are_named() -> None:
    ada = make_admin()
    first, second, third = (make_token(user=ada) for _ in range(3))

    said = tokens("revoke", str(first.pk), str(second.pk))
    assert [row[2:] for row in said] == [["has", "ended"]] * 2
    assert [token.pk for token in ApiToken.objects.usable()] == [third.pk]
    entry = Entry.objects.get(action="token_revoked", subject=f"token:{first.pk}")
    assert entry.actor.startswith("shell:")
    assert tokens("revoke", str(first.pk)) == [
        ["token", str(first.pk), "had", "ended", "before"]
    ]


def test_revokes_nothing_if_one_of_them_is_not_there() -> None:
    token = make_token(user=make_admin())

    with pytest.raises(CommandError, match="no token 99, 98; nothing was ended"):
        tokens("revoke", str(token.pk), "99", "98")
    assert ApiToken.objects.usable().exists()


def test_a_use_in_the_same_minute_is_not_noted_again() -> None:
    token = make_token(user=make_admin())
    used_at = timezone.now() - timedelta(seconds=30)
    ApiToken.objects.update(last_used_at=used_at)

    actions.note_use(token)  # read before that use

    token.refresh_from_db()
    assert token.last_used_at == used_at
