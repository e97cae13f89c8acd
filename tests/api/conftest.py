"""Callers of the API, each with a token."""

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from controlplane.accounts import actions
from controlplane.accounts.models import ApiToken
from tests.factories import make_moderator

Caller = Callable[..., Any]


def make_token(user: User, *scopes: str) -> str:
    return actions.create_token(
        user, scopes=scopes or ApiToken.Scope.values, actor="test"
    )


@pytest.fixture
def call(client: Client) -> Caller:
    """Call the API with a token; without one, as a moderator who may use every scope."""
    tokens: list[str] = []

    def go(
        method: str,
        path: str,
        body: Any = None,
        *,
        token: str | None = None,
        **more: Any,
    ) -> Any:
        if token is None:
            tokens[:] = tokens or [make_token(make_moderator())]
            token = tokens[0]
        if token:
            more["HTTP_AUTHORIZATION"] = f"Bearer {token}"
        return client.generic(
            method, path, body or b"", content_type="application/json", **more
        )

    return go
