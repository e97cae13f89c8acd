"""Cursors: where a page of a list ended, as an opaque word."""

import base64
import binascii
from datetime import datetime
from uuid import UUID

from controlplane.api.problems import Problem

Place = tuple[datetime, UUID]


def encode(at: datetime, key: UUID) -> str:
    return (
        base64.urlsafe_b64encode(f"{at.isoformat()} {key}".encode())
        .decode()
        .rstrip("=")
    )


def decode(cursor: str) -> Place:
    """Return the place. Problem 422 for what encode() did not make."""
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        at, _, key = base64.urlsafe_b64decode(padded.encode()).decode().partition(" ")
        place = datetime.fromisoformat(at), UUID(key)
    except (ValueError, binascii.Error):
        raise _unusable() from None
    if place[0].tzinfo is None:
        raise _unusable()
    return place


def _unusable() -> Problem:
    error = {"at": "query.cursor", "message": "not a cursor that a list here gave out"}
    return Problem(422, "The cursor cannot be used.", errors=[error])
