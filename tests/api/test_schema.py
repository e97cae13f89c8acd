"""Whatever is sent, as the OpenAPI document has it or not, the answer is one that it documents.

Schemathesis makes the requests: all boundary cases that it knows, and examples by chance, the
same in each run. They go to the real application, with Kafka and PostgreSQL behind it.
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from django.contrib.auth.models import User
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st
from pytest_django import Settings
from schemathesis import APIOperation, Case, GenerationMode
from schemathesis.config import GenerationConfig
from schemathesis.core.result import Ok
from schemathesis.generation.feedback import NO_FEEDBACK
from schemathesis.python import asgi
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from controlplane.api.urls import api
from controlplane.asgi import application
from controlplane.chat.resources import close_resources
from controlplane.stops import actions
from tests.api.conftest import make_token
from tests.factories import make_approval, make_user

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("kafka_topics"),
]
# For one operation, besides its boundary cases.
EXAMPLES = [2, pytest.param(40, marks=pytest.mark.long)]
Operation = APIOperation[Any, Any, Any, Any]
KINDS = list(GenerationMode)  # as the document says, and not as it says
CHECKS = [
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    unsupported_method,
]
calm = examples(
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


async def whole_application(scope: Any, receive: Any, send: Any) -> None:
    """The application, which closes what its loop keeps open when it is told to end."""
    if scope["type"] != "lifespan":
        await application(scope, receive, send)
        return
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await close_resources()
    await send({"type": "lifespan.shutdown.complete"})


class Caller:
    """Sends cases with a token of all scopes, and keeps what was answered."""

    def __init__(self, client: asgi.ASGIClient, user: User) -> None:
        self._client = client
        self._headers = {"Authorization": f"Bearer {make_token(user)}"}
        self._known = known_ids(user)
        self.answered: dict[str, set[int]] = {}

    def check(self, case: Case[Any], *, is_known: bool) -> None:
        if is_known:
            self._aim(case)
        response = case.call(
            "http://testserver", session=self._client, headers=self._headers
        )
        self.answered.setdefault(case.operation.label, set()).add(response.status_code)
        case.validate_response(response, checks=CHECKS)
        assert response.status_code < 500, case.as_curl_command()

    def _aim(self, case: Case[Any]) -> None:
        """At something that is there: an id by chance never is."""
        for name in set(case.path_parameters or {}) & set(self._known):
            case.path_parameters[name] = self._known[name]
        if isinstance(case.body, dict):
            for name in set(case.body) & set(self._known):
                case.body[name] = self._known[name]


def known_ids(user: User) -> dict[str, str]:
    approval = make_approval()
    stop = actions.request_stop(
        mode="soft", scope="tier", value="pro", reason="drill", requester=user
    )
    return {
        "approval_id": str(approval.pk),
        "conversation_id": "c_1",
        "fingerprint": approval.fingerprint,
        "stop_id": str(stop.pk),
        "text": approval.text,
        "tier": "pro",
        "topic": "user.messages.raw",
        "trace_id": approval.turn.trace_id,
        "user": "u_1",
    }


@pytest.fixture
def caller(settings: Settings) -> Iterator[Caller]:
    settings.API_REQUESTS_PER_MINUTE = 1_000_000
    with asgi.get_client(whole_application) as client:
        yield Caller(client, make_user("root", is_superuser=True))
    asgi.shutdown_lifespans()


def operations() -> list[Operation]:
    document = json.loads(json.dumps(api.get_openapi_schema()))
    schema = schemathesis.openapi.from_dict(document)
    return [
        found.ok() for found in schema.get_all_operations() if isinstance(found, Ok)
    ]


def boundary_cases(operation: Operation) -> Iterator[Case[Any]]:
    yield from operation.schema.iter_coverage_cases(
        operation, generation_modes=KINDS, generation_config=GenerationConfig()
    )


def cases_by_chance(operation: Operation) -> st.SearchStrategy[Case[Any]]:
    kinds = [operation.as_strategy(kind, feedback=NO_FEEDBACK) for kind in KINDS]
    return st.one_of(kinds)


@pytest.mark.parametrize("count", EXAMPLES)
def test_every_answer_is_documented(
    caller: Caller, subtests: pytest.Subtests, count: int
) -> None:
    every = operations()
    assert len(every) == 8
    for operation in every:
        with subtests.test(operation.label):
            for number, case in enumerate(boundary_cases(operation)):
                caller.check(case, is_known=number % 2 == 0)
            try_by_chance(caller, operation, count)

    # The requests get past the door.
    refused = {label for label, codes in caller.answered.items() if min(codes) >= 300}
    assert not refused, caller.answered


def try_by_chance(caller: Caller, operation: Operation, count: int) -> None:
    @examples(calm, max_examples=count)
    @given(cases_by_chance(operation), st.booleans())
    def check(case: Case[Any], is_known: bool) -> None:  # noqa: FBT001
        caller.check(case, is_known=is_known)

    check()
