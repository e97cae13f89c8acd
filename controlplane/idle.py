"""Ends the session of who has done nothing for a while. Pages that ask by themselves are nobody's doing."""

import time

from django.conf import settings
from django.contrib.auth import logout
from django.http import HttpRequest
from django.utils.deprecation import MiddlewareMixin

KEY = "active_at"
NOTED_EVERY_S = 60  # a write for each request would be too many


class IdleMiddleware(MiddlewareMixin):
    def process_request(self, request: HttpRequest) -> None:
        if not request.user.is_authenticated:
            return
        now = int(time.time())
        active_at = request.session.get(KEY, now)
        if now - active_at > settings.SESSION_IDLE_S:
            logout(request)
        elif KEY not in request.session or (
            _is_by_a_person(request) and now - active_at >= NOTED_EVERY_S
        ):
            request.session[KEY] = now


def _is_by_a_person(request: HttpRequest) -> bool:
    """Fragments are fetched by timers and sockets too, pages and forms are not."""
    return request.method != "GET" or "HX-Request" not in request.headers
