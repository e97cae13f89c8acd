"""Tokens: made once, shown once, stored as a hash."""

import hashlib
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from controlplane.accounts import actions
from controlplane.accounts.models import ApiToken
from controlplane.audit.models import Entry
from tests.factories import make_admin, make_user

pytestmark = pytest.mark.django_db


def create(*arguments: str) -> tuple[str, str]:
    out, note = StringIO(), StringIO()
    call_command("create_token", *arguments, stdout=out, stderr=note)
    return out.getvalue().strip(), note.getvalue()


def test_the_command_prints_the_token_once_and_stores_its_hash() -> None:
    make_admin()

    token, note = create(
        "--user", "ada", "--scope", "traces:read", "--scope", "events:write"
    )

    assert token.startswith("ilk_")
    assert len(token) == 47
    row = ApiToken.objects.get()
    assert row.sha256 == hashlib.sha256(token.encode()).hexdigest()
    assert row.scopes == ["events:write", "traces:read"]
    assert timedelta(days=89) < row.expires_at - timezone.now() <= timedelta(days=90)
    assert "Valid for 90 days" in note


def test_who_made_it_is_logged_and_the_token_is_not() -> None:
    make_admin()

    token, _ = create("--user", "ada", "--scope", "traces:read", "--days", "7")

    entry = Entry.objects.get()
    assert entry.action == "token_created"
    assert entry.actor.startswith("shell:")
    assert entry.detail == {
        "user": "ada",
        "name": "",
        "scopes": ["traces:read"],
        "days": 7,
    }
    assert token not in str(entry.detail)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--user", "nobody", "--scope", "traces:read"], "there is no user 'nobody'"),
        (["--user", "ada", "--scope", "everything"], "no scope everything; there are:"),
        (["--user", "ada", "--scope", "traces:read", "--days", "0"], "1 to 366 days"),
        (["--user", "ada", "--scope", "traces:read", "--name", "n" * 101], "a name"),
        (["--user", "ada", "--scope", "traces:read", "--name", "a\tb"], "a name"),
        (["--user", "gone", "--scope", "traces:read"], "gone is not active"),
    ],
)
def test_says_why_it_makes_none(arguments: list[str], said: str) -> None:
    make_admin()
    make_user("gone", is_active=False)

    with pytest.raises(CommandError, match=said):
        create(*arguments)
    assert not ApiToken.objects.exists()


def test_a_token_does_something() -> None:
    with pytest.raises(actions.TokenError, match="at least one scope"):
        actions.create_token(make_admin(), scopes=[], actor="test")


def test_revoking_ends_a_token_once() -> None:
    ada = make_admin()
    actions.create_token(ada, scopes=["traces:read"], actor=ada)
    row = ApiToken.objects.get()

    assert actions.revoke_token(row.pk, actor=ada)
    assert not actions.revoke_token(row.pk, actor=ada)

    assert not ApiToken.objects.usable().exists()
    assert Entry.objects.filter(action="token_revoked").count() == 1
