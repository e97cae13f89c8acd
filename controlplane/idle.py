"""Ends sessions: after a while in which nobody did anything, and when they are old.

Pages that ask by themselves are nobody's doing.
"""

import time

from django.conf import settings
from django.contrib.auth import logout
from django.contrib.auth.signals import user_logged_in
from django.dispatch import receiver
from django.http import HttpRequest
from django.utils.deprecation import MiddlewareMixin

from controlplane.away import AWAY, note_away

KEY = "active_at"
BEGAN = "began_at"
NOTED_EVERY_S = 60  # a write for each request would be too many


@receiver(user_logged_in)
def begin(request: HttpRequest, **_: object) -> None:
    request.session[KEY] = request.session[BEGAN] = int(time.time())


class IdleMiddleware(MiddlewareMixin):
    def process_request(self, request: HttpRequest) -> None:
        try:
            _end_or_note(request)
        except AWAY:  # who needs the session then says so, in its own way
            note_away(request)


def _end_or_note(request: HttpRequest) -> None:
    if not request.user.is_authenticated:
        return
    now = int(time.time())
    idle_s = now - request.session.get(KEY, now - NOTED_EVERY_S)
    # Django's own limit begins anew with each change of the session.
    age_s = now - request.session.setdefault(BEGAN, now)
    if idle_s > settings.SESSION_IDLE_S or age_s > settings.SESSION_COOKIE_AGE:
        logout(request)
    elif idle_s >= NOTED_EVERY_S and _is_by_a_person(request):
        request.session[KEY] = now


def _is_by_a_person(request: HttpRequest) -> bool:
    """static/js/live.js marks what a page asks by itself."""
    return "X-Live" not in request.headers
