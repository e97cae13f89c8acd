"""What may change in a released contract, and that ours changed no further."""

from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import pytest

from agents import contracts, registry
from agents.compatibility import (
    breaking_changes,
    breaking_releases,
    breaking_topics,
)

BASELINE = Path(__file__).resolve().parents[2] / "docs" / "contracts" / "baseline"
HELP = (
    "An existing reader or a record that is kept could not bear this. Give the "
    "change a contract and a topic of a new name; see docs/contracts/README.md."
)
Field = tuple[str, Any] | tuple[str, Any, Any]

TEXT: Field = ("text", str)
COLOUR = Literal["red", "green"]


def test_the_contracts_still_hold_what_was_released() -> None:
    released = contracts.load(BASELINE)
    document = released.pop(contracts.ASYNCAPI)

    found = breaking_releases(released, contracts.json_schemas())
    found += breaking_topics(document, contracts.asyncapi(registry.declarations()))

    assert not found, "\n".join([*found, HELP])


def schema_of(*fields: Field, **options: Any) -> dict[str, Any]:
    struct = msgspec.defstruct("Post", fields, kw_only=True, **options)
    plain = msgspec.json.encode(msgspec.json.schema(struct))
    schema: dict[str, Any] = msgspec.json.decode(plain)
    return schema


class Cat(msgspec.Struct, tag=True):
    name: str


class Dog(msgspec.Struct, tag=True):
    name: str


class Owner(msgspec.Struct):
    name: str


class OwnerWithAge(msgspec.Struct):
    name: str
    age: int


BREAKING = {
    "a field removed": ([TEXT, ("n", int)], [TEXT], "n was removed"),
    "an optional field removed": ([TEXT, ("n", int, 0)], [TEXT], "n was removed"),
    "a field renamed": ([TEXT], [("body", str)], "body was added and is required"),
    "a required field added": ([TEXT], [TEXT, ("n", int)], "was added and is required"),
    "a field made required": ([("n", int, 0)], [("n", int)], "n is now required"),
    "a field made optional": ([("n", int)], [("n", int, 0)], "no longer required"),
    "a type changed": ([("n", int)], [("n", str)], "n can now be string"),
    "a type widened": ([("n", int)], [("n", float)], "n can now be number"),
    "a type narrowed": ([("n", float)], [("n", int)], "n can no longer be number"),
    "null allowed": ([("n", int)], [("n", int | None)], "n can now be null"),
    "null refused": ([("n", int | None)], [("n", int)], "n can no longer be null"),
    "anything narrowed": ([("n", Any)], [("n", int)], "no longer be anything"),
    "an enum value added": (
        [("c", COLOUR)],
        [("c", Literal["red", "green", "blue"])],
        "c gains the value 'blue'",
    ),
    "an enum value removed": (
        [("c", COLOUR)],
        [("c", Literal["red"])],
        "c loses the value 'green'",
    ),
    "an enum opened": ([("c", COLOUR)], [("c", str)], "c can now be string"),
    "a text closed": ([("c", str)], [("c", COLOUR)], "can no longer be string"),
    "a default changed": ([("n", int, 0)], [("n", int, 1)], "the default 1 instead"),
    "a bound tightened": (
        [("n", int)],
        [("n", Annotated[int, msgspec.Meta(ge=0)])],
        "n has minimum 0 instead of none",
    ),
    "a pattern dropped": (
        [("t", Annotated[str, msgspec.Meta(pattern="^a")])],
        [("t", str)],
        "t has pattern none instead of ^a",
    ),
    "what a list holds": (
        [("l", list[int])],
        [("l", list[str])],
        "l[] can now be string",
    ),
    "a list that held anything": (
        [("l", list)],
        [("l", list[str])],
        "l[] may hold one type instead of anything",
    ),
    "what a map holds": (
        [("m", dict[str, int])],
        [("m", dict[str, str])],
        "m.* can now be string",
    ),
    "a list made a tuple": (
        [("l", tuple[int, ...])],
        [("l", tuple[int, int])],
        "l has 2 fixed places instead of 0",
    ),
    "what a tuple's place holds": (
        [("l", tuple[int, int])],
        [("l", tuple[int, str])],
        "l[1] can now be string",
    ),
    "a required field added deep inside": (
        [("l", list[Owner])],
        [("l", list[OwnerWithAge])],
        "l[].age was added and is required",
    ),
    "a kind of object added": (
        [("p", Cat)],
        [("p", Cat | Dog)],
        "p can now be the object Dog",
    ),
}


@pytest.mark.parametrize(("old", "new", "sentence"), BREAKING.values(), ids=BREAKING)
def test_a_breaking_change_is_found(
    old: list[Field], new: list[Field], sentence: str
) -> None:
    found = breaking_changes(schema_of(*old), schema_of(*new), name="Post")

    assert any(sentence in line for line in found), found
    assert all(line.startswith("Post.") for line in found)


HARMLESS = {
    "nothing": ([TEXT], [TEXT]),
    "an optional field added": ([TEXT], [TEXT, ("n", int, 0)]),
    "an optional object added": ([TEXT], [TEXT, ("o", Owner | None, None)]),
    "fields in another order": ([TEXT, ("n", int)], [("n", int), TEXT]),
    "values in another order": (
        [("c", Literal["red", "green"])],
        [("c", Literal["green", "red"])],
    ),
    "a description": (
        [TEXT],
        [("text", Annotated[str, msgspec.Meta(description="d")])],
    ),
    "kinds in another order": ([("p", Cat | Dog)], [("p", Dog | Cat)]),
    "a list of objects": ([("l", list[Owner])], [("l", list[Owner])]),
}


@pytest.mark.parametrize(("old", "new"), HARMLESS.values(), ids=HARMLESS)
def test_a_harmless_change_is_not_found(old: list[Field], new: list[Field]) -> None:
    assert breaking_changes(schema_of(*old), schema_of(*new)) == []


def test_a_docstring_is_harmless() -> None:
    class Before(msgspec.Struct):
        """Says this."""

        n: int

    class After(msgspec.Struct):
        """Says that."""

        n: int

    old, new = msgspec.json.schema(Before), msgspec.json.schema(After)

    assert breaking_changes(old, new) == []


def test_closing_a_contract_is_found() -> None:
    old, new = schema_of(TEXT), schema_of(TEXT, forbid_unknown_fields=True)

    assert breaking_changes(old, new) == [
        "the contract.* may hold nothing instead of anything."
    ]


def test_a_closed_contract_may_not_even_gain_an_optional_field() -> None:
    old = schema_of(TEXT, forbid_unknown_fields=True)
    new = schema_of(TEXT, ("n", int, 0), forbid_unknown_fields=True)

    [line] = breaking_changes(old, new)

    assert "closed contract" in line


def test_a_contract_that_contains_itself_is_walked_once() -> None:
    tree = {
        "$ref": "#/$defs/Tree",
        "$defs": {"Tree": {"properties": {"child": {"$ref": "#/$defs/Tree"}}}},
    }

    assert breaking_changes(tree, tree) == []


def test_types_in_a_list_and_constants_are_understood() -> None:
    old = {"type": ["string", "null"], "$comment": "x"}

    assert breaking_changes(old, {"type": ["null", "string"]}) == []
    assert len(breaking_changes(old, {"type": "string"})) == 1
    assert breaking_changes({"const": 1}, {"enum": [1]}) == []


def test_an_unknown_keyword_is_breaking_when_it_differs() -> None:
    assert breaking_changes({"not": {"const": 1}}, {}) != []


def test_a_contract_may_come_but_not_go() -> None:
    post = schema_of(TEXT)

    assert breaking_releases({}, {"Post": post}) == []
    assert breaking_releases({"Post": post}, {"Post": post}) == []
    assert breaking_releases({"Post": post}, {}) == ["Post: the contract was removed."]


def channels(**topics: tuple[str, int]) -> dict[str, Any]:
    return {
        "channels": {
            name: {
                "messages": {contract: {}},
                "bindings": {"kafka": {"partitions": partitions}},
            }
            for name, (contract, partitions) in topics.items()
        }
    }


@pytest.mark.parametrize(
    ("new", "found"),
    [
        (channels(posts=("Post", 6)), []),
        (channels(posts=("Post", 6), more=("Post", 1)), []),
        (channels(), ["posts: the topic was removed."]),
        (channels(posts=("Other", 6)), ["posts: the topic carries another contract."]),
        (
            channels(posts=("Post", 12)),
            ["posts: 12 partitions instead of 6 break the order of its keys."],
        ),
    ],
)
def test_what_a_topic_may_not_change(new: dict[str, Any], found: list[str]) -> None:
    assert breaking_topics(channels(posts=("Post", 6)), new) == found
