"""The AsyncAPI document: its structure, and that it says what the register and the agents say."""

from typing import Any

import jsonschema
import pytest

from agents import contracts, registry
from agents.topics import DEAD_LETTERS, TOPICS

REF = {
    "type": "object",
    "properties": {"$ref": {"type": "string", "pattern": "^#/"}},
    "required": ["$ref"],
    "additionalProperties": False,
}
BINDINGS = {
    "type": "object",
    "properties": {
        "kafka": {"type": "object", "required": ["bindingVersion"]},
    },
    "required": ["kafka"],
    "additionalProperties": False,
}
CHANNEL = {
    "type": "object",
    "properties": {
        "address": {"type": "string"},
        "messages": {"additionalProperties": REF, "minProperties": 1},
        "bindings": BINDINGS,
    },
    "patternProperties": {"^x-": {}},
    "required": ["address", "messages"],
    "additionalProperties": False,
}
OPERATION = {
    "type": "object",
    "properties": {
        "action": {"enum": ["send", "receive"]},
        "channel": REF,
        "summary": {"type": "string"},
        "tags": {
            "type": "array",
            "items": {"type": "object", "required": ["name"]},
        },
        "bindings": BINDINGS,
    },
    "patternProperties": {"^x-": {}},
    "required": ["action", "channel"],
    "additionalProperties": False,
}
MESSAGE = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "summary": {"type": "string"},
        "contentType": {"type": "string"},
        "headers": REF,
        "payload": {"type": "object"},
        "bindings": BINDINGS,
    },
    "required": ["name", "headers", "payload"],
    "additionalProperties": False,
}
ASYNCAPI_3 = {
    "type": "object",
    "properties": {
        "asyncapi": {"const": "3.0.0"},
        "info": {"type": "object", "required": ["title", "version"]},
        "defaultContentType": {"type": "string"},
        "channels": {"additionalProperties": CHANNEL},
        "operations": {"additionalProperties": OPERATION},
        "components": {
            "type": "object",
            "properties": {
                "messages": {"additionalProperties": MESSAGE},
                "schemas": {
                    "propertyNames": {"pattern": r"^[\w.-]+$"},
                    "additionalProperties": {"type": "object"},
                },
            },
            "additionalProperties": False,
        },
    },
    "required": ["asyncapi", "info"],
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return contracts.asyncapi(registry.declarations())


def test_it_has_the_structure_of_asyncapi_3(document: dict[str, Any]) -> None:
    jsonschema.Draft202012Validator(ASYNCAPI_3).validate(document)


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    references = list(_references(document))

    assert references
    for reference in references:
        assert isinstance(_follow(document, reference), dict), reference


def test_every_schema_is_one(document: dict[str, Any]) -> None:
    for schema in document["components"]["schemas"].values():
        jsonschema.Draft7Validator.check_schema(schema)  # what AsyncAPI builds on
        jsonschema.Draft202012Validator.check_schema(schema)


def test_every_topic_is_a_channel_with_its_settings(document: dict[str, Any]) -> None:
    assert document["channels"].keys() == TOPICS.keys()
    for name, topic in TOPICS.items():
        channel = document["channels"][name]
        kafka = channel["bindings"]["kafka"]
        settings = kafka["topicConfiguration"]
        assert channel["address"] == kafka["topic"] == name
        assert channel["x-writers"] == topic.writers
        assert kafka["partitions"] == topic.partitions
        assert settings["retention.ms"] == topic.retention_ms
        assert settings["cleanup.policy"] == [
            "compact" if topic.compacted else "delete"
        ]


def test_operations_are_what_the_agents_declare(document: dict[str, Any]) -> None:
    expected = {("ingress", "send", "user.messages.raw")}
    for agent in registry.declarations():
        expected |= {(agent.name, "receive", topic) for topic in agent.reads}
        expected |= {(agent.name, "send", topic) for topic in agent.writes}
        if agent.kind != "service":
            expected.add((agent.name, "send", DEAD_LETTERS))

    found = {
        (
            operation.get("x-agent", "ingress"),
            operation["action"],
            operation["channel"]["$ref"].removeprefix("#/channels/"),
        )
        for operation in document["operations"].values()
    }

    assert found == expected
    assert len(document["operations"]) == len(expected)


@pytest.mark.parametrize(
    "operation",
    [
        "input-guard.receive.user.messages.raw",
        "gate.receive.agent.responses.final",
        "intake.receive.finance.queries.pending_approval",
        "failures.receive.agents.dlq",
        "recorder.receive.controlplane.config",
        "relay.send.agent.responses.approved",
        "relay.send.controlplane.config",
    ],
)
def test_the_platforms_own_part_is_in_it(
    document: dict[str, Any], operation: str
) -> None:
    assert operation in document["operations"]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("asyncapi",), "2.6.0"),
        (("operations", "x"), {"action": "publish", "channel": {"$ref": "#/x"}}),
        (("channels", "x"), {"address": "x"}),
        (("components", "messages", "x"), {"name": "x"}),
        (("topics",), {}),
    ],
)
def test_the_check_finds_what_is_no_asyncapi(path: tuple[str, ...], value: Any) -> None:
    broken = contracts.asyncapi(registry.declarations())
    place = broken
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value

    assert not jsonschema.Draft202012Validator(ASYNCAPI_3).is_valid(broken)


def _references(node: Any) -> Any:
    if isinstance(node, dict):
        if "$ref" in node:
            yield node["$ref"]
        for child in node.values():
            yield from _references(child)
    elif isinstance(node, list):
        for child in node:
            yield from _references(child)


def _follow(document: dict[str, Any], reference: str) -> Any:
    place: Any = document
    for step in reference.removeprefix("#/").split("/"):
        place = place[step]
    return place
