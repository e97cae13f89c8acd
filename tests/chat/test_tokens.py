"""The widget's token: who may speak, as whom, and what can be read out of it."""

from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
from django.test import Client
from django.urls import reverse

from controlplane.chat import tokens


def make_token(
    key: bytes | None = None, algorithm: str = "HS256", **fields: Any
) -> str:
    claims = {
        "sub": "ada",
        "tier": "pro",
        "aud": "widget",
        "exp": datetime.now(UTC) + timedelta(hours=1),
    } | fields
    kept = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode(kept, tokens._key() if key is None else key, algorithm)


def test_what_is_issued_can_be_read() -> None:
    visitor = tokens.read(tokens.issue("ada", tier="pro"))

    assert visitor.tier == "pro"
    assert visitor.user == tokens.pseudonym_of("ada")
    assert visitor.conversation_id.startswith("c_")
    assert "ada" not in f"{visitor.user} {visitor.conversation_id}"


def test_the_same_user_has_the_same_conversation() -> None:
    assert tokens.read(tokens.issue("ada", tier="free")) == tokens.read(
        tokens.issue("ada", tier="free")
    )


def test_users_and_conversations_are_kept_apart() -> None:
    visitors = [
        tokens.read(tokens.issue(user, tier="free", conversation=name))
        for user in ("ada", "bob")
        for name in ("", "a", "b")
    ]

    assert len({visitor.conversation_id for visitor in visitors}) == 6
    assert len({visitor.user for visitor in visitors}) == 2


@pytest.mark.parametrize("tier", ["gold", "", 7, None, ["pro"]])
def test_a_tier_that_is_none_is_the_lowest(tier: object) -> None:
    claims = {"tier": tier} if tier is not None else {"tier": "unknown"}

    assert tokens.read(make_token(**claims)).tier == "free"


@pytest.mark.parametrize(
    "token",
    [
        "",
        "a.b.c",
        make_token(key=b"x" * 40),
        make_token(exp=datetime(2020, 1, 1, tzinfo=UTC)),
        make_token(aud="api"),
        make_token(aud=None),
        make_token(sub=None),
        make_token(tier=None),
        make_token(exp=None),
        jwt.encode({"sub": "ada", "tier": "pro", "aud": "widget"}, "", "none"),
    ],
    ids=[
        "empty", "no token", "not ours", "expired", "other audience", "no audience",
        "nobody", "no tier", "for ever", "unsigned",
    ],
)  # fmt: skip
def test_a_token_that_is_none_is_refused(token: str) -> None:
    with pytest.raises(tokens.TokenError):
        tokens.read(token)


# The demo page


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("asked", "given"), [("", "free"), ("pro", "pro"), ("gold", "free")]
)
def test_the_demo_page_issues_a_token_of_the_tier(
    client: Client, asked: str, given: str
) -> None:
    answer = client.get(reverse("chat:demo"), {"tier": asked} if asked else {})

    assert answer.status_code == 200
    visitor = tokens.read(answer.context["token"])
    assert visitor.tier == answer.context["tier"] == given


@pytest.mark.django_db
def test_a_visitor_keeps_one_identity_and_a_conversation_for_each_tier(
    client: Client,
) -> None:
    def visitor(tier: str) -> tokens.Visitor:
        answer = client.get(reverse("chat:demo"), {"tier": tier})
        return tokens.read(answer.context["token"])

    assert visitor("pro") == visitor("pro")
    assert visitor("pro").user == visitor("free").user
    assert visitor("pro").conversation_id != visitor("free").conversation_id


@pytest.mark.django_db
def test_the_demo_page_is_only_read(client: Client) -> None:
    assert client.post(reverse("chat:demo")).status_code == 405
