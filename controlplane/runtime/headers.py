"""Headers in the outbox: text where they are text, base64 where they are other bytes."""

import base64
from collections.abc import Iterable

from agents.cloudevents import Headers

StoredHeaders = list[tuple[str, str | dict[str, str]]]


def stored_headers(headers: Headers) -> StoredHeaders:
    return [(name, _stored(value)) for name, value in headers]


def headers_of(stored: Iterable[tuple[str, str | dict[str, str]]]) -> Headers:
    return [(name, _bytes(value)) for name, value in stored]


def _stored(value: bytes) -> str | dict[str, str]:
    try:
        text = value.decode()
    except UnicodeDecodeError:
        text = "\x00"
    # PostgreSQL's JSON holds every character but this one.
    return {"base64": base64.b64encode(value).decode()} if "\x00" in text else text


def _bytes(value: str | dict[str, str]) -> bytes:
    return (
        value.encode() if isinstance(value, str) else base64.b64decode(value["base64"])
    )
