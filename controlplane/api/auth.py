"""Bearer tokens: who may call what."""

from typing import Any

from asgiref.sync import sync_to_async
from django.http import HttpRequest
from ninja.security import HttpBearer

from controlplane.accounts.models import ApiToken
from controlplane.accounts.tokens import usable_token
from controlplane.api.problems import Problem


class TokenRequest(HttpRequest):
    auth: ApiToken


class Scoped(HttpBearer):
    """A token with the scope, of a user with the permission (if one is named)."""

    def __init__(self, scope: ApiToken.Scope, permission: str = "") -> None:
        super().__init__()
        self.scope = scope
        self.permission = permission

    def authenticate(self, request: HttpRequest, token: str) -> Any:
        return self.check(token)

    def check(self, token: str) -> ApiToken | None:
        """Return nothing for a token that does not count (401); Problem 403 for too little."""
        row = usable_token(token)
        if row is None:
            return None
        if self.scope not in row.scopes:
            raise Problem(
                403, f"This token lacks the scope {self.scope}.", code="scope"
            )
        if self.permission and not row.user.has_perm(self.permission):
            detail = (
                f"{row.user.get_username()} lacks the permission {self.permission}."
            )
            raise Problem(403, detail, code="permission")
        return row


class AsyncScoped(Scoped):
    """The same for asynchronous views."""

    async def authenticate(self, request: HttpRequest, token: str) -> Any:
        return await sync_to_async(self.check)(token)
