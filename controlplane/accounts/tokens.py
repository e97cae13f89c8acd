"""Reads bearer tokens from requests."""

from ipaddress import ip_address

from django.http import HttpRequest

from controlplane.accounts.actions import note_use, sha256_of
from controlplane.accounts.models import ApiToken

_PROXY_HEADERS = ("Forwarded", "X-Forwarded-For", "X-Real-IP")


def bearer(request: HttpRequest) -> str:
    """Return the token of the Authorization header, or nothing."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def usable_token(token: str) -> ApiToken | None:
    """Return the row of a token that has neither ended nor lost its user, and note its use."""
    if not token:
        return None
    tokens = ApiToken.objects.usable().select_related("user")
    row = tokens.filter(sha256=sha256_of(token)).first()
    if row is not None:
        note_use(row)
    return row


def may_read_metrics(request: HttpRequest) -> bool:
    """This machine itself, or who holds the scope. What a proxy passes on is not this machine."""
    if _is_loopback(request):
        return True
    token = usable_token(bearer(request))
    return token is not None and ApiToken.Scope.RUNTIME_READ in token.scopes


def _is_loopback(request: HttpRequest) -> bool:
    address = request.META.get("REMOTE_ADDR", "")
    if not address or any(name in request.headers for name in _PROXY_HEADERS):
        return False
    return ip_address(address).is_loopback
