"""Errors of the API, all in one form: type, title, status, detail, errors (RFC 9457)."""

from http import HTTPStatus
from typing import Any

import structlog
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
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
    errors = [
        {"at": ".".join(str(part) for part in one["loc"]), "message": one["msg"]}
        for one in error.errors
    ]
    return Problem(
        422, "The request does not have the form it needs.", errors=errors
    ).response()


def _database_away(request: HttpRequest, error: Any) -> HttpResponse:
    detail = "The database does not answer. Nothing was changed as far as we know."
    return Problem(
        503, detail, code="database_away", headers={"Retry-After": "5"}
    ).response()


def _our_mistake(request: HttpRequest, error: Any) -> HttpResponse:
    log.error("api_failed", path=request.path, exc_info=error)
    return Problem(500, "It is our mistake and is in the log.").response()
