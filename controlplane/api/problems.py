"""Errors of the API, all in one form: type, title, status, detail, errors (RFC 9457)."""

from http import HTTPStatus
from typing import Any

import structlog
from django.core.exceptions import RequestDataTooBig
from django.db import InterfaceError, OperationalError
from django.http import (
    Http404,
    HttpRequest,
    HttpResponse,
    JsonResponse,
    UnreadablePostError,
)
from ninja import NinjaAPI
from ninja.errors import AuthenticationError, HttpError, ValidationError

log = structlog.get_logger()

CONTENT_TYPE = "application/problem+json"
Errors = list[dict[str, Any]]


class Problem(Exception):  # noqa: N818  # the standard's word
    """An answer that is not what the caller wanted, and says why.

    code: a word for programs, the end of the problem's type. more: further members.
    """

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        code: str = "",
        errors: Errors | None = None,
        headers: dict[str, str] | None = None,
        **more: Any,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.code = code
        self.errors = errors or []
        self.headers = headers or {}
        self.more = more

    def response(self) -> HttpResponse:
        body = {
            "type": f"/api/problems/{self.code}" if self.code else "about:blank",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
            "errors": self.errors,
        }
        if self.code:
            body["code"] = self.code
        return JsonResponse(
            body | self.more,
            status=self.status,
            headers=self.headers,
            content_type=CONTENT_TYPE,
        )


def install(api: NinjaAPI) -> None:
    """Let the API answer every error as a problem."""
    api.add_exception_handler(Problem, _problem)
    api.add_exception_handler(AuthenticationError, _unauthorized)
    api.add_exception_handler(HttpError, _http_error)
    api.add_exception_handler(ValidationError, _invalid)
    api.add_exception_handler(Http404, _not_found)
    api.add_exception_handler(RequestDataTooBig, _too_big)
    api.add_exception_handler(UnreadablePostError, _cut_off)
    api.add_exception_handler(OperationalError, _database_away)
    api.add_exception_handler(InterfaceError, _database_away)
    api.add_exception_handler(Exception, _our_mistake)


def not_found(what: str = "There is nothing at this address.") -> Problem:
    return Problem(404, what)


# Handlers get an instance; the library's types also allow for the class.


def _problem(request: HttpRequest, error: Any) -> HttpResponse:
    assert isinstance(error, Problem)
    return error.response()


def _not_found(request: HttpRequest, error: Any) -> HttpResponse:
    return not_found().response()


def _unauthorized(request: HttpRequest, error: Any) -> HttpResponse:
    return Problem(
        401,
        "A bearer token is needed: one that exists, has not ended, and whose user is active.",
        headers={"WWW-Authenticate": 'Bearer realm="interlock"'},
    ).response()


def _http_error(request: HttpRequest, error: Any) -> HttpResponse:
    return Problem(error.status_code, error.message).response()


def _invalid(request: HttpRequest, error: Any) -> HttpResponse:
    errors = [{"at": _place(one["loc"]), "message": one["msg"]} for one in error.errors]
    return Problem(
        422, "The request does not have the form it needs.", errors=errors
    ).response()


def _place(location: tuple[str | int, ...]) -> str:
    """The body is named twice: as where it is from, and as the view's argument."""
    parts = location[1:] if location[:2] == ("body", "body") else location
    return ".".join(str(part) for part in parts)


def _too_big(request: HttpRequest, error: Any) -> HttpResponse:
    return Problem(413, "The body is too large.", code="too_long").response()


def _cut_off(request: HttpRequest, error: Any) -> HttpResponse:
    return Problem(400, "The body ended before it was whole.").response()


def _database_away(request: HttpRequest, error: Any) -> HttpResponse:
    detail = "The database does not answer. Nothing was changed as far as we know."
    return Problem(
        503, detail, code="database_away", headers={"Retry-After": "5"}
    ).response()


def _our_mistake(request: HttpRequest, error: Any) -> HttpResponse:
    log.error("api_failed", path=request.path, exc_info=error)
    return Problem(500, "It is our mistake and is in the log.").response()
