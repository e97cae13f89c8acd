"""POST /api/events/{topic}: events from outside, into topics that are open to it."""

import re
from typing import Annotated, Any

import msgspec
from django.http import HttpRequest
from ninja import Path, Router, Schema, Status

from agents import topics
from agents.events import Payload, UserMessage
from controlplane.accounts.models import ApiToken
from controlplane.api.auth import Scoped, TokenRequest
from controlplane.api.document import problems
from controlplane.api.problems import Errors, Problem, not_found
from controlplane.chat import ingress

router = Router(tags=["events"])
WRITE = Scoped(ApiToken.Scope.EVENTS_WRITE)

IDEMPOTENCY_KEY = "Idempotency-Key"
# What the columns of a turn and its conversation can hold.
_LIMITS = {"conversation_id": 100, "user": 100}
_TRACEPARENT = re.compile("[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")
_WHERE = re.compile(r"^(?P<message>.*?)(?: - at `\$?\.?(?P<at>.*)`)?$", re.DOTALL)


class AcceptedOut(Schema):
    trace_id: str
    event_id: str


def _contracts() -> list[dict[str, Any]]:
    """Return the JSON Schemas of what may be sent, as docs/contracts has them."""
    open_to_all = [topics.contract_of(name) for name in sorted(topics.INGRESS)]
    _, schemas = msgspec.json.schema_components(open_to_all)
    return list(schemas.values())


IngressTopic = Annotated[str, Path(enum=sorted(topics.INGRESS))]


@router.post(
    "/{topic}",
    response={202: AcceptedOut},
    auth=WRITE,
    summary="Send an event",
    openapi_extra={
        "parameters": [
            {
                "in": "header",
                "name": IDEMPOTENCY_KEY,
                "required": True,
                "schema": {"type": "string", "maxLength": 100},
            },
            {"in": "header", "name": "traceparent", "schema": {"type": "string"}},
        ],
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": {"anyOf": _contracts()}}},
        },
    }
    | problems(404, 409, 413, 422),
)
async def send_event(request: TokenRequest, topic: IngressTopic) -> Status[AcceptedOut]:
    """The same Idempotency-Key again is the same event. `traceparent` is linked, not adopted."""
    event = read_event(ingress_topic(topic), request.body)
    key = request.headers.get(IDEMPOTENCY_KEY, "")
    _refuse(_key_errors(key))
    # The one ingress topic there is; others bring an ingress of their own.
    assert isinstance(event, UserMessage)
    _refuse(_message_errors(event))
    accepted = await _submit(event, key, linked_trace(request))
    out = AcceptedOut(trace_id=accepted.trace_id, event_id=accepted.event_id)
    return Status(202, out)


async def _submit(event: UserMessage, key: str, linked: str) -> ingress.Accepted:
    try:
        return await ingress.submit(
            conversation_id=event.conversation_id,
            client_id=key,
            text=event.text,
            user=event.user,
            tier=event.tier,
            linked_trace=linked,
            wants_person=event.wants_person,
        )
    except ingress.BadMessageError as error:
        problem = {"at": "text", "message": str(error)}
        raise Problem(422, str(error), errors=[problem]) from error
    except ingress.NotOwnerError as error:
        detail = "The conversation belongs to another user than the event names."
        raise Problem(403, detail, code="conversation") from error
    except ingress.IdReusedError as error:
        detail = (
            f"This {IDEMPOTENCY_KEY} came before with another text or wants_person."
        )
        raise Problem(409, detail, code="id_reused") from error
    except ingress.TooLongError as error:
        raise Problem(
            413, f"The text is too long: {error}.", code="too_long"
        ) from error
    except ingress.RateLimitedError as error:
        retry = {"Retry-After": str(max(1, round(error.retry_after_s)))}
        detail = f"Too many messages of one conversation; {error}."
        raise Problem(429, detail, code="rate_limited", headers=retry) from error
    except ingress.UnconfirmedError as error:
        detail = f"Kafka has not acknowledged; send it again with the same {IDEMPOTENCY_KEY}."
        raise Problem(
            503, detail, code="unconfirmed", headers={"Retry-After": "1"}
        ) from error


def ingress_topic(name: str) -> topics.Topic:
    """Return the topic if programs outside may write to it."""
    topic = topics.TOPICS.get(name)
    if topic is None:
        raise not_found(f"There is no topic {name}.")
    if topic.writers != "ingress":
        raise Problem(403, f"{name} is not open to writers from outside.", code="topic")
    return topic


def read_event(topic: topics.Topic, body: bytes) -> Payload:
    """Read and validate in one step; the contract says what is wrong."""
    try:
        return msgspec.json.decode(body, type=topics.contract_of(topic.name))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _invalid([_located(str(error))]) from error


def linked_trace(request: HttpRequest) -> str:
    """Return the caller's trace id. A header that is none counts as none."""
    found = _TRACEPARENT.fullmatch(request.headers.get("traceparent", "").strip())
    return found[1] if found and found[1].strip("0") else ""


def _key_errors(key: str) -> Errors:
    if key and len(key) <= _LIMITS["conversation_id"] and key.isprintable():
        return []
    message = "is needed: 1 to 100 printable characters"
    return [{"at": IDEMPOTENCY_KEY, "message": message}]


def _message_errors(event: UserMessage) -> Errors:
    found: Errors = []
    for name, limit in _LIMITS.items():
        value = getattr(event, name)
        if len(value) > limit or not value.isprintable():
            message = f"must be at most {limit} printable characters"
            found.append({"at": name, "message": message})
    if not event.conversation_id:
        found.append({"at": "conversation_id", "message": "is needed"})
    if event.tier not in topics.TIERS:
        message = f"must be one of {', '.join(topics.TIERS)}"
        found.append({"at": "tier", "message": message})
    return found


def _located(error: str) -> dict[str, str]:
    parts = _WHERE.match(error)
    assert parts is not None
    return {"at": parts["at"] or "", "message": parts["message"]}


def _refuse(errors: Errors) -> None:
    if errors:
        raise _invalid(errors)


def _invalid(errors: Errors) -> Problem:
    return Problem(
        422, "The event is not what its topic's contract says.", errors=errors
    )
