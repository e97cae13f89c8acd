"""A page that can be read while the database is away."""

from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.utils.deprecation import MiddlewareMixin

RETRY_S = 5
AWAY = (OperationalError, InterfaceError)


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
