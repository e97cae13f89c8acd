"""The small pieces of a JSON schema: joining two, fitting a text, fitting a number."""

import math
import re
from typing import Any

Schema = dict[str, Any]

FORMATS = {
    "date": "2026-01-01",
    "date-time": "2026-01-01T00:00:00Z",
    "time": "00:00:00Z",
    "email": "demo@example.com",
    "uri": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
    "ipv4": "192.0.2.1",
}


class UnsupportedSchemaError(ValueError):
    """The schema asks for something that cannot be filled here."""


def merge(one: Schema, other: Schema) -> Schema:
    """Join two schemas; where both speak, the second wins."""
    merged = one | other
    if "properties" in one and "properties" in other:
        merged["properties"] = one["properties"] | other["properties"]
    if "required" in one and "required" in other:
        merged["required"] = [*one["required"], *other["required"]]
    return merged


def text_for(schema: Schema, wanted: str) -> str:
    """Fit a text to format, pattern and length."""
    wanted = FORMATS.get(schema.get("format", ""), wanted)
    longest = schema.get("maxLength")
    if longest is not None:
        wanted = wanted[:longest]
    wanted = wanted.ljust(schema.get("minLength", 0), ".")
    pattern = schema.get("pattern")
    candidates = [wanted, "demo", "DEMO", "a", "A", "0", "2026-01-01", ""]
    for candidate in candidates if pattern else [wanted]:
        if not pattern or re.search(pattern, candidate):
            return candidate
    raise UnsupportedSchemaError(f"no text for the pattern {pattern}")


def number_for(schema: Schema, wanted: float, *, whole: bool) -> float | int:
    """Fit a number to its bounds and step."""
    step = schema.get("multipleOf", 1 if whole else None)
    for candidate in _candidates(schema, wanted, step):
        number = int(candidate) if whole else candidate
        if _is_within(schema, number) and (step is None or number % step == 0):
            return number
    raise UnsupportedSchemaError("no number fits the bounds")


def _candidates(schema: Schema, wanted: float, step: float | None) -> list[float]:
    low, high = _bounds(schema)
    clamped = min(max(wanted, low), high)
    if step is not None:
        nearest = round(clamped / step)
        return [(nearest + offset) * step for offset in (0, 1, -1, 2, -2)]
    bounds = [each for each in (low, high) if math.isfinite(each)]
    return [clamped, sum(bounds) / (len(bounds) or 1), clamped + 1, clamped - 1]


def _bounds(schema: Schema) -> tuple[float, float]:
    lows = [schema.get("minimum"), schema.get("exclusiveMinimum")]
    highs = [schema.get("maximum"), schema.get("exclusiveMaximum")]
    low = max((each for each in lows if each is not None), default=-math.inf)
    return low, min((each for each in highs if each is not None), default=math.inf)


def _is_within(schema: Schema, number: float) -> bool:
    low, high = _bounds(schema)
    excluded = (schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum"))
    return low <= number <= high and number not in excluded
