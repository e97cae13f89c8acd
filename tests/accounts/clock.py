"""What time does: codes of an authenticator app, and proofs of who one is that grow old."""

import time

from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value
from django.contrib.sessions.backends.base import SessionBase

PERIOD_S = 30


def code_of(secret: str, *, periods: int = 0) -> str:
    """The code that an app shows now, or so many periods later."""
    counter = int(time.time()) // PERIOD_S + periods
    return format_hotp_value(hotp_value(secret.replace(" ", ""), counter))


def age(session: SessionBase, seconds: int) -> None:
    """Let what was shown in this session have been shown so much earlier."""
    for record in session["account_authentication_methods"]:
        record["at"] -= seconds
    session.save()
