"""CloudEvents 1.0 in Kafka's binary mode: the headers of every record, and deterministic ids."""

import re
import uuid
from collections.abc import Iterable
from datetime import UTC, datetime
from urllib.parse import quote, unquote

import msgspec

Headers = list[tuple[str, bytes]]

# Every id of ours is a UUIDv5 under this one.
NAMESPACE = uuid.UUID("6b1d3b0e-7d5c-5b1e-9a53-2f0c6f5f2a41")
_TRACEPARENT = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}")
_NO_TRACE = "0" * 32


class HeaderError(Exception):
    """The headers are not those of one of our CloudEvents."""


class Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """What the headers of a record say about it."""

    id: str
    type: str
    source: str
    trace_id: str
    subject: str = ""
    time: str = ""
    workflow: str = ""
    tier: str = ""
    parents: tuple[str, ...] = ()
    linked_trace: str = ""


def derive_id(parent: str, agent: str, port: str, number: int) -> str:
    """Return the id of the number-th event that an agent sends to a port because of parent."""
    return str(uuid.uuid5(NAMESPACE, f"{parent}\n{agent}\n{port}\n{number}"))


def ingress_id(conversation_id: str, client_id: str) -> str:
    """Return the id of a message from outside: the same client id is the same message."""
    return str(uuid.uuid5(NAMESPACE, f"ingress\n{conversation_id}\n{client_id}"))


def trace_id_of(event_id: str) -> str:
    """Return the trace id of an ingress event, so that a resend is the same trace."""
    return uuid.uuid5(NAMESPACE, f"trace\n{event_id}").hex


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def encode_headers(envelope: Envelope) -> Headers:
    """Return Kafka headers; the span id is the start of the event's own id."""
    span = uuid.uuid5(NAMESPACE, envelope.id).hex[:16]
    headers = [
        ("ce_specversion", b"1.0"),
        ("ce_id", envelope.id.encode()),
        ("ce_type", envelope.type.encode()),
        ("ce_source", envelope.source.encode()),
        ("ce_time", (envelope.time or now()).encode()),
        ("content-type", b"application/json"),
        ("traceparent", f"00-{envelope.trace_id}-{span}-01".encode()),
        ("ilk_workflow", envelope.workflow.encode()),
        ("ilk_tier", envelope.tier.encode()),
        ("ilk_parent", ",".join(map(quote, envelope.parents)).encode()),
    ]
    if envelope.subject:
        headers.append(("ce_subject", envelope.subject.encode()))
    if envelope.linked_trace:
        headers.append(("ilk_link", envelope.linked_trace.encode()))
    return headers


def decode_headers(headers: Iterable[tuple[str, bytes]] | None) -> Envelope:
    """Read an envelope. HeaderError names the header that is missing or malformed."""
    try:
        found = {name: (value or b"").decode() for name, value in headers or ()}
    except UnicodeDecodeError as error:
        raise HeaderError("a header is not UTF-8") from error
    missing = [
        name for name in ("ce_id", "ce_type", "ce_source") if not found.get(name)
    ]
    if missing:
        raise HeaderError(f"header {missing[0]} is missing")
    parents = found.get("ilk_parent", "")
    return Envelope(
        id=found["ce_id"],
        type=found["ce_type"],
        source=found["ce_source"],
        trace_id=_trace_id(found.get("traceparent", ""), found["ce_id"]),
        subject=found.get("ce_subject", ""),
        time=found.get("ce_time", ""),
        workflow=found.get("ilk_workflow", ""),
        tier=found.get("ilk_tier", ""),
        parents=tuple(map(unquote, parents.split(","))) if parents else (),
        linked_trace=found.get("ilk_link", ""),
    )


def parse_traceparent(value: str) -> str:
    """Return the 32-hex trace id, or nothing when the header is not a valid one."""
    match = _TRACEPARENT.fullmatch(value)
    return match[1] if match and match[1] != _NO_TRACE else ""


def _trace_id(traceparent: str, event_id: str) -> str:
    return parse_traceparent(traceparent) or trace_id_of(event_id)
