from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.embedded.model_server.schema_leaves import UnsupportedSchemaError
from controlplane.embedded.model_server.schemas import Facts, fill

FACTS = Facts(
    "The E-Class costs from EUR 63,500.", 0.8, given={"company": "Acme", "amount": 7}
)


def objects_of(
    inner: st.SearchStrategy[dict[str, Any]],
) -> st.SearchStrategy[dict[str, Any]]:
    named = st.dictionaries(st.sampled_from(["answer", "score", "note", "x"]), inner)
    return named.map(
        lambda properties: {
            "type": "object",
            "properties": properties,
            "required": list(properties),
            "additionalProperties": False,
        }
    )


bounds = st.integers(-50, 50)
leaves = st.one_of(
    st.sampled_from(
        [{"type": "boolean"}, {"type": "null"}, {"enum": ["a", 2]}, {"const": 4}]
    ),
    st.builds(
        lambda n: {"type": "string", "minLength": n, "maxLength": n + 3},
        st.integers(0, 60),
    ),
    st.builds(lambda n: {"type": "integer", "minimum": n, "maximum": n + 5}, bounds),
    st.builds(
        lambda n: {"type": "number", "exclusiveMinimum": n, "maximum": n + 1}, bounds
    ),
    st.builds(
        lambda n: {"type": "number", "exclusiveMinimum": n, "exclusiveMaximum": n + 1},
        bounds,
    ),
    st.builds(lambda n: {"type": "integer", "multipleOf": n}, st.integers(1, 9)),
)
schemas = st.recursive(
    leaves,
    lambda inner: st.one_of(
        objects_of(inner),
        st.builds(
            lambda each, n: {
                "type": "array",
                "items": each,
                "minItems": n,
                "maxItems": n + 2,
            },
            inner,
            st.integers(0, 3),
        ),
        st.builds(lambda one, two: {"anyOf": [one, two]}, inner, inner),
    ),
    max_leaves=8,
)


@given(schemas)
def test_what_is_filled_validates(schema: dict[str, Any]) -> None:
    jsonschema.validate(fill(schema, FACTS), schema)


def test_fields_are_filled_by_their_names() -> None:
    kinds = {
        "answer": "string",
        "confidence": "number",
        "is_known": "boolean",
        "company": "string",
        "amount": "integer",
        "risky": "boolean",
    }
    schema = {
        "type": "object",
        "properties": {name: {"type": kind} for name, kind in kinds.items()},
    }

    assert fill(schema, FACTS) == {
        "answer": FACTS.answer,
        "confidence": 0.8,
        "is_known": True,
        "company": "Acme",
        "amount": 7,
        "risky": False,
    }


def test_confidence_follows_the_scale_asked_for() -> None:
    schema = {
        "type": "object",
        "properties": {"confidence": {"type": "integer", "minimum": 0, "maximum": 100}},
    }

    assert fill(schema, FACTS) == {"confidence": 80}


@pytest.mark.parametrize(
    "schema",
    [
        {"type": ["null", "string"]},
        {"type": "string", "format": "date"},
        {"type": "string", "format": "uuid"},
        {"type": "string", "pattern": "^[A-Z]+$"},
        {
            "allOf": [
                {"type": "object"},
                {"properties": {"a": {"type": "null"}}, "required": ["a"]},
            ]
        },
        {"type": "array", "prefixItems": [{"const": 1}, {"type": "string"}]},
        {"type": "object", "required": ["anything"]},
        {
            "$ref": "#/$defs/node",
            "$defs": {
                "node": {
                    "type": "object",
                    "properties": {
                        "text": {"type": "string"},
                        "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]},
                    },
                    "required": ["text", "next"],
                }
            },
        },
    ],
)
def test_less_usual_schemas_are_filled(schema: dict[str, Any]) -> None:
    jsonschema.validate(fill(schema, FACTS), schema)


@pytest.mark.parametrize(
    "schema",
    [
        {"not": {"type": "string"}},
        {"type": "string", "pattern": "^impossible to guess [0-9]{9}$"},
        {"type": "integer", "minimum": 5, "maximum": 4},
        {"type": "mystery"},
        {"$ref": "#/$defs/missing"},
        {"$ref": "#"},
        {"type": "object", "properties": 3},
        {"enum": []},
        {"type": "number", "multipleOf": 0},
    ],
)
def test_what_cannot_be_filled_is_refused(schema: dict[str, Any]) -> None:
    with pytest.raises(UnsupportedSchemaError):
        fill(schema, FACTS)
