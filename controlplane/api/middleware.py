"""What every answer under /api/ has, whoever gives it: a problem for an error, the token's limit."""

from collections.abc import Awaitable, Callable
from http import HTTPStatus

from asgiref.sync import iscoroutinefunction
from django.http import HttpRequest, HttpResponse
from django.utils.decorators import sync_and_async_middleware

from controlplane.api.limits import Usage
from controlplane.api.problems import CONTENT_TYPE, Problem

ROOT = "/api/"
PASSED_ON = ("Allow", "Retry-After")

Respond = Callable[[HttpRequest], HttpResponse]
RespondLater = Callable[[HttpRequest], Awaitable[HttpResponse]]


@sync_and_async_middleware
def api_answers(respond: Respond | RespondLater) -> Respond | RespondLater:
    if iscoroutinefunction(respond):

        async def answer_later(request: HttpRequest) -> HttpResponse:
            return _complete(request, await respond(request))

        return answer_later

    def answer(request: HttpRequest) -> HttpResponse:
        response = respond(request)
        assert isinstance(response, HttpResponse)
        return _complete(request, response)

    return answer


def _complete(request: HttpRequest, response: HttpResponse) -> HttpResponse:
    if not request.path.startswith(ROOT):
        return response
    if response.status_code >= HTTPStatus.BAD_REQUEST:
        response = _as_problem(response)
    usage = getattr(request, "usage", None)
    if isinstance(usage, Usage):
        for name, value in usage.headers().items():
            response[name] = value
    return response


def _as_problem(response: HttpResponse) -> HttpResponse:
    """Django and the API's library answer some errors, such as 405, by themselves."""
    if response.get("Content-Type") == CONTENT_TYPE:
        return response
    headers = {name: response[name] for name in PASSED_ON if name in response}
    detail = f"{response.reason_phrase}."
    return Problem(response.status_code, detail, headers=headers).response()
