"""The widget's token: signed by the host page's server, it says who the user is and which tier."""

import hashlib
import hmac
from datetime import UTC, datetime, timedelta

import jwt
import msgspec
from django.conf import settings

from agents.topics import known_tier

ALGORITHM = "HS256"


class TokenError(Exception):
    """The token is not ours, has expired, or lacks a claim."""


class Visitor(msgspec.Struct, frozen=True):
    """An end user as the chat knows one: a pseudonym, a tier, a conversation."""

    user: str
    tier: str
    conversation_id: str


def issue(user: str, *, tier: str, conversation: str = "") -> str:
    """Return a token for a user of the host page."""
    claims = {
        "sub": user,
        "tier": tier,
        "aud": "widget",
        "exp": datetime.now(UTC) + timedelta(hours=settings.WIDGET_TOKEN_HOURS),
    }
    if conversation:
        claims["conversation"] = conversation
    return jwt.encode(claims, _key(), ALGORITHM)


def read(token: str) -> Visitor:
    """Check the signature and return the visitor. TokenError says what is wrong."""
    try:
        claims = jwt.decode(
            token,
            _key(),
            algorithms=[ALGORITHM],
            audience="widget",
            options={"require": ["sub", "tier", "exp"]},
        )
    except jwt.InvalidTokenError as error:
        raise TokenError(str(error)) from error
    pseudonym = pseudonym_of(str(claims["sub"]))
    name = str(claims.get("conversation") or "only")
    return Visitor(
        user=pseudonym,
        tier=known_tier(str(claims["tier"])),
        conversation_id=f"c_{_digest(f'{pseudonym} {name}')}",
    )


def pseudonym_of(user: str) -> str:
    """Return what stands for the user in every record: nobody can read the name out of it."""
    return f"u_{_digest(user)}"


def _digest(text: str) -> str:
    key = settings.PSEUDONYM_SECRET.encode()
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()[:20]


def _key() -> bytes:
    return bytes(settings.WIDGET_SECRET, "utf-8")
