"""A page that can be read while the database is away."""

from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.utils.deprecation import MiddlewareMixin

RETRY_S = 5
AWAY = (OperationalError, InterfaceError)


_NOTED = "interlock.database_away"


def note_away(request: HttpRequest) -> None:
    """A connection is waited for some seconds: a page that waits again tells twice as late."""
    request.META[_NOTED] = True


def is_noted_away(request: HttpRequest) -> bool:
    return _NOTED in request.META


def database_away(request: HttpRequest) -> HttpResponse:
    """Without the request in its context: the shell would ask the database again."""
    said = {"is_reading": request.method == "GET", "path": request.get_full_path()}
    html = render_to_string("503.html", said)
    return HttpResponse(html, status=503, headers={"Retry-After": str(RETRY_S)})


class DatabaseAwayMiddleware(MiddlewareMixin):
    """Turns what a view raises while PostgreSQL does not answer into a 503."""

    def process_exception(
        self, request: HttpRequest, exception: Exception
    ) -> HttpResponse | None:
        return database_away(request) if isinstance(exception, AWAY) else None
