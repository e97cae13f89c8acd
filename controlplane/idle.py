"""Ends the session of who has done nothing for a while. Pages that ask by themselves are nobody's doing."""

import time

from django.conf import settings
from django.contrib.auth import logout
from django.contrib.auth.signals import user_logged_in
from django.dispatch import receiver
from django.http import HttpRequest
from django.utils.deprecation import MiddlewareMixin

KEY = "active_at"
NOTED_EVERY_S = 60  # a write for each request would be too many


@receiver(user_logged_in)
def begin(request: HttpRequest, **_: object) -> None:
    request.session[KEY] = int(time.time())


class IdleMiddleware(MiddlewareMixin):
    def process_request(self, request: HttpRequest) -> None:
        if not request.user.is_authenticated:
            return
        now = int(time.time())
        idle_s = now - request.session.get(KEY, now - NOTED_EVERY_S)
        if idle_s > settings.SESSION_IDLE_S:
            logout(request)
        elif idle_s >= NOTED_EVERY_S and _is_by_a_person(request):
            request.session[KEY] = now


def _is_by_a_person(request: HttpRequest) -> bool:
    """Fragments are fetched by timers and sockets too, pages and forms are not."""
    return request.method != "GET" or "HX-Request" not in request.headers
