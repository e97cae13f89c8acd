"""The OpenAPI document: also the errors that each operation may answer."""

from http import HTTPStatus
from typing import Any

from ninja import NinjaAPI, Schema

from controlplane.api.problems import CONTENT_TYPE

ALWAYS = (401, 403, 429, 503)
_SCHEMAS = "#/components/schemas/"
_NUMBER = {"schema": {"type": "string", "pattern": "^[0-9]+$"}}
_LIMIT = {
    "RateLimit": {"$ref": "#/components/headers/RateLimit"},
    "RateLimit-Policy": {"$ref": "#/components/headers/RateLimit-Policy"},
}
_HEADERS = {
    "RateLimit": {
        "description": "What is left of the token's minute (r), and its seconds (t). "
        "Missing while nobody counts.",
        "schema": {"type": "string"},
    },
    "RateLimit-Policy": {
        "description": "Requests (q) in a window of seconds (w).",
        "schema": {"type": "string"},
    },
}


class ErrorOut(Schema):
    """at: the place in the request, such as body.reason."""

    at: str
    message: str


class ProblemOut(Schema):
    """An error as in RFC 9457. Some codes have further members."""

    type: str
    title: str
    status: int
    detail: str
    errors: list[ErrorOut]
    code: str | None = None


def problems(*statuses: int) -> dict[str, Any]:
    """Return the OpenAPI of the errors that an operation may answer, besides those all may."""
    every = sorted({*ALWAYS, *statuses})
    return {"responses": {status: _response(status) for status in every}}


def _response(status: int) -> dict[str, Any]:
    response: dict[str, Any] = {
        "description": HTTPStatus(status).phrase,
        "content": {CONTENT_TYPE: {"schema": {"$ref": f"{_SCHEMAS}ProblemOut"}}},
    }
    if status in {429, 503}:
        response["headers"] = {"Retry-After": _NUMBER}
    return response


class DocumentedAPI(NinjaAPI):
    """Adds what all operations share."""

    def get_openapi_schema(self, **options: Any) -> Any:
        document = super().get_openapi_schema(**options)
        schema = ProblemOut.model_json_schema(ref_template=f"{_SCHEMAS}{{model}}")
        definitions = schema.pop("$defs")
        components = document["components"]
        components["schemas"] |= definitions | {"ProblemOut": schema}
        components["headers"] = _HEADERS
        for path in document["paths"].values():
            for operation in path.values():
                _add_limit(operation)
        return document


def _add_limit(operation: dict[str, Any]) -> None:
    for status, response in operation["responses"].items():
        if int(status) != HTTPStatus.UNAUTHORIZED:
            response["headers"] = response.get("headers", {}) | _LIMIT
