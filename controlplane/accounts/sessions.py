"""Every write to sessions: where somebody is signed in, and an end to that."""

from datetime import timedelta

from allauth.usersessions.models import UserSession
from django.contrib.auth.models import User
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session
from django.db import transaction
from django.http import HttpRequest
from django.utils import timezone

from controlplane.accounts.attempts import address_of
from controlplane.audit import actions as audit

SEEN_IS_NOTED_EVERY = timedelta(minutes=1)  # not with each request


def note_seen(request: HttpRequest) -> None:
    """Let people see where they are signed in. A page that polls by itself is nobody's doing."""
    if request.method == "GET" and request.headers.get("HX-Request"):
        return
    now = timezone.now()
    UserSession.objects.filter(
        session_key=request.session.session_key,
        last_seen_at__lt=now - SEEN_IS_NOTED_EVERY,
    ).update(last_seen_at=now, ip=address_of(request))


def forget_expired() -> None:
    """Remove the sessions that are over, and those of whoever never signed in."""
    SessionStore.clear_expired()
    alive = Session.objects.values("session_key")
    UserSession.objects.exclude(session_key__in=alive).delete()


@transaction.atomic
def end_session(user: User, session_id: int) -> bool:
    """End one session of this person; return whether there was one to end."""
    session = UserSession.objects.filter(user=user, pk=session_id).first()
    if session is None:
        return False
    _end(session, user)
    return True


@transaction.atomic
def end_other_sessions(
    user: User, session_key: str | None, *, actor: User | str
) -> int:
    """End all of this person but the one with this key; return how many."""
    others = UserSession.objects.filter(user=user).exclude(session_key=session_key)
    for session in others:
        _end(session, actor)
    return len(others)


def _end(session: UserSession, actor: User | str) -> None:
    """Its row goes, so the sockets that were opened with it close."""
    session.end()
    subject = f"user:{session.user.get_username()}"
    detail = {"address": session.ip, "browser": browser_of(session)}
    audit.record(actor, "session_ended", subject, detail=detail)


BROWSERS = {
    "Edg/": "Edge",
    "OPR/": "Opera",
    "Firefox/": "Firefox",
    "Chrome/": "Chrome",
    "Safari/": "Safari",
}
SYSTEMS = {
    "Android": "Android",
    "iPhone": "iOS",
    "iPad": "iPadOS",
    "Windows": "Windows",
    "Mac OS": "macOS",
    "Linux": "Linux",
}


def browser_of(session: UserSession) -> str:
    """Name the browser as people do: "Firefox on Windows"."""
    told = session.user_agent
    browser = next((name for word, name in BROWSERS.items() if word in told), "")
    system = next((name for word, name in SYSTEMS.items() if word in told), "")
    return " on ".join(filter(None, (browser, system))) or "unknown browser"
