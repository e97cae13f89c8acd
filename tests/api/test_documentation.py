"""docs/api.md says what there is, and /api/docs needs nothing from elsewhere."""

import re
from pathlib import Path

import pytest

from controlplane.accounts.models import ApiToken
from controlplane.api.urls import api

PAGE = (Path(__file__).parents[2] / "docs/api.md").read_text()
CURL = re.compile(
    r'^    curl (?:-X (?P<method>[A-Z]+) )?"\$SITE(?P<path>/[^"?]*)', re.M
)


def written() -> set[tuple[str, str]]:
    return {(each["method"] or "GET", each["path"]) for each in CURL.finditer(PAGE)}


def documented() -> dict[tuple[str, str], re.Pattern[str]]:
    """Operations, and what an address of each looks like."""
    paths = api.get_openapi_schema()["paths"]
    return {
        (method.upper(), path): re.compile(re.sub(r"{\w+}", "[^/]+", path))
        for path, operations in paths.items()
        for method in operations
    }


def test_every_curl_is_of_an_operation_and_every_operation_has_one() -> None:
    shown = set()
    for method, path in written():
        found = {
            operation
            for operation, address in documented().items()
            if operation[0] == method and address.fullmatch(path)
        }
        assert len(found) == 1, (method, path)
        shown |= found

    assert shown == set(documented())


def test_every_scope_is_explained() -> None:
    assert {
        scope for scope in ApiToken.Scope.values if f"| `{scope}` |" in PAGE
    } == set(ApiToken.Scope.values)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 413, 422, 429, 503])
def test_every_declared_error_is_explained(status: int) -> None:
    declared = {
        int(code)
        for operations in api.get_openapi_schema()["paths"].values()
        for operation in operations.values()
        for code in operation["responses"]
    }

    assert status in declared
    assert f"| {status} |" in PAGE
