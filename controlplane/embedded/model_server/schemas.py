"""Fills a JSON schema with an answer, so that what a caller asked for validates."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from controlplane.embedded.model_server.schema_leaves import (
    Schema,
    UnsupportedSchemaError,
    merge,
    number_for,
    text_for,
)

ANSWER_NAMES = {
    "answer",
    "reply",
    "response",
    "text",
    "message",
    "content",
    "body",
    "output",
}
CONFIDENCE_NAMES = {"confidence", "certainty", "probability", "score"}
KNOWN_NAMES = {"known", "isknown", "answered", "found", "grounded", "supported"}
UNSUPPORTED = {
    *("not", "if", "contains", "propertyNames", "patternProperties"),
    *("minProperties", "dependentRequired", "dependentSchemas"),
}
DEEPEST = 12
LARGE_SCALE = 2


@dataclass(frozen=True)
class Facts:
    """What there is to fill a schema with; `given` is what the request said by name."""

    answer: str
    confidence: float = 1.0
    is_known: bool = True
    given: Mapping[str, Any] = field(default_factory=dict)


def plain_name(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.casefold())


def fill(schema: Schema, facts: Facts) -> Any:
    """Give a value that validates, or raise UnsupportedSchemaError."""
    try:
        return _Filler(schema, facts).value(schema, "", 0)
    except (TypeError, LookupError, AttributeError, ArithmeticError, re.error) as error:
        raise UnsupportedSchemaError("this is not a valid schema") from error


class _Filler:
    def __init__(self, root: Schema, facts: Facts) -> None:
        self.root = root
        self.facts = facts

    def value(self, schema: Any, name: str, depth: int) -> Any:
        schema = self._resolve(schema, depth)
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return self._choice(schema["enum"], name)
        for key in ("anyOf", "oneOf"):
            if key in schema:
                return self._first_fit(schema, key, name, depth)
        return self._by_type(schema, name, depth)

    def _resolve(self, schema: Any, depth: int) -> Schema:
        """Follow references and merge what must hold together."""
        if schema is True:
            return {}
        if (
            not isinstance(schema, dict)
            or depth > DEEPEST
            or UNSUPPORTED & schema.keys()
        ):
            raise UnsupportedSchemaError("this schema cannot be filled")
        if "$ref" in schema:
            siblings = {key: each for key, each in schema.items() if key != "$ref"}
            return self._resolve(
                merge(self._target(schema["$ref"]), siblings), depth + 1
            )
        merged: Schema = schema
        for part in schema.get("allOf", []):
            merged = merge(merged, self._resolve(part, depth + 1))
        return merged

    def _target(self, reference: str) -> Schema:
        found: Schema = self.root
        for step in reference.removeprefix("#").split("/")[1:]:
            inner = found.get(step.replace("~1", "/").replace("~0", "~"))
            if not isinstance(inner, dict):
                raise UnsupportedSchemaError(f"{reference} is not in the schema")
            found = inner
        return found

    def _choice(self, options: list[Any], name: str) -> Any:
        given = self._given(name)
        return given if given in options else options[0]

    def _first_fit(self, schema: Schema, key: str, name: str, depth: int) -> Any:
        """Try each branch, the empty one last."""
        base = {each: schema[each] for each in schema if each != key}
        branches = sorted(schema[key], key=lambda branch: branch == {"type": "null"})
        for branch in branches:
            try:
                return self.value(
                    merge(base, self._resolve(branch, depth)), name, depth + 1
                )
            except UnsupportedSchemaError:
                continue
        raise UnsupportedSchemaError(f"no branch of {key} can be filled")

    def _by_type(self, schema: Schema, name: str, depth: int) -> Any:
        kinds = schema.get("type", "object" if "properties" in schema else "string")
        kinds = [kinds] if isinstance(kinds, str) else kinds
        for kind in sorted(kinds, key="null".__eq__):
            try:
                return self._of_kind(kind, schema, name, depth)
            except UnsupportedSchemaError:
                if kind == kinds[-1] or len(kinds) == 1:
                    raise
        raise UnsupportedSchemaError("no type can be filled")

    def _of_kind(self, kind: str, schema: Schema, name: str, depth: int) -> Any:
        match kind:
            case "object":
                return self._object(schema, depth)
            case "array":
                return self._array(schema, name, depth)
            case "string":
                return text_for(schema, self._text(name))
            case "number" | "integer":
                return number_for(
                    schema, self._number(schema, name), whole=kind == "integer"
                )
            case "boolean":
                return self._flag(name)
            case "null":
                return None
        raise UnsupportedSchemaError(f"type {kind} is unknown")

    def _object(self, schema: Schema, depth: int) -> Any:
        filled, required = {}, set(schema.get("required", []))
        properties = schema.get("properties", {})
        for name in [*properties, *sorted(required - properties.keys())]:
            try:
                inner = properties.get(name, schema.get("additionalProperties") or True)
                filled[name] = self.value(inner, name, depth + 1)
            except UnsupportedSchemaError:
                if name in required:
                    raise
        return filled

    def _array(self, schema: Schema, name: str, depth: int) -> Any:
        fixed = schema.get("prefixItems", [])
        count = max(schema.get("minItems", 0), len(fixed))
        if not count and schema.get("maxItems") != 0 and depth < DEEPEST // 2:
            count = 1
        inner = [*fixed, *[schema.get("items", True)] * (count - len(fixed))]
        items = [self.value(each, name, depth + 1) for each in inner]
        if schema.get("uniqueItems") and len({repr(each) for each in items}) < len(
            items
        ):
            raise UnsupportedSchemaError("several unique items cannot be filled")
        return items

    def _given(self, name: str) -> Any:
        return self.facts.given.get(plain_name(name))

    def _text(self, name: str) -> str:
        given = self._given(name)
        if plain_name(name) in ANSWER_NAMES or given is None:
            return self.facts.answer
        return str(given)

    def _number(self, schema: Schema, name: str) -> float:
        if plain_name(name) in CONFIDENCE_NAMES:
            top = schema.get("maximum", 1)
            return self.facts.confidence * (top if top >= LARGE_SCALE else 1)
        try:
            given = float(self._given(name))
        except (TypeError, ValueError):
            return 0.0
        return given if math.isfinite(given) else 0.0

    def _flag(self, name: str) -> bool:
        if plain_name(name) in KNOWN_NAMES:
            return self.facts.is_known
        return self._given(name) is True
