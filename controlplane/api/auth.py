"""Bearer tokens: who may call what."""

from typing import Any

from django.http import HttpRequest
from ninja.security import HttpBearer

from controlplane.accounts.access import write_down_refusal
from controlplane.accounts.models import ApiToken
from controlplane.accounts.table import SCOPE, SCOPES
from controlplane.accounts.tokens import usable_token
from controlplane.api import limits
from controlplane.api.problems import Problem


class TokenRequest(HttpRequest):
    auth: ApiToken
    usage: limits.Usage | None  # api_answers() tells it to the caller


class Scoped(HttpBearer):
    """A token with the scope, of a user with the permission that goes with it, if one does."""

    def __init__(self, scope: ApiToken.Scope) -> None:
        super().__init__()
        self.scope = scope
        self.permission = SCOPES[scope]

    def authenticate(self, request: HttpRequest, token: str) -> Any:
        """Return nothing for a token that does not count (401); Problem 429 or 403 for others."""
        row = usable_token(token)
        if row is None:
            return None
        request.usage = limits.counter.count(row)  # type: ignore[attr-defined]
        _check_limit(request.usage)  # type: ignore[attr-defined]
        return self._check_rights(request, row)

    def _check_rights(self, request: HttpRequest, row: ApiToken) -> ApiToken:
        if self.scope not in row.scopes:
            write_down_refusal(request, row.user, f"{SCOPE}{self.scope}")
            raise Problem(
                403, f"This token lacks the scope {self.scope}.", code="scope"
            )
        if self.permission and not row.user.has_perm(self.permission):
            write_down_refusal(request, row.user, self.permission)
            detail = (
                f"{row.user.get_username()} lacks the permission {self.permission}."
            )
            raise Problem(403, detail, code="permission")
        return row


def _check_limit(usage: limits.Usage | None) -> None:
    if usage is not None and usage.is_over:
        detail = f"This token made its {usage.limit} requests of this minute."
        retry = {"Retry-After": str(usage.reset_s)}
        raise Problem(429, detail, code="rate_limited", headers=retry)
