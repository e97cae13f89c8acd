"""AsyncAPI 3.0: topics as channels, contracts as messages, agents as operations."""

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from agents.registry import Declaration
from agents.topics import DEAD_LETTERS, Topic

Document = dict[str, Any]

VERSION = "3.0.0"
BINDING = "0.5.0"
DEAD_LETTER = "DeadLetter"
EVENT_HEADERS = "EventHeaders"
DEAD_LETTER_HEADERS = "DeadLetterHeaders"
_SCHEMA_REF = "#/components/schemas/{name}"
_TEXT = {"type": "string"}


def _header(description: str, **more: Any) -> Document:
    return {"type": "string", "description": description, **more}


_HEADERS = {
    "ce_specversion": _header("The version of CloudEvents.", const="1.0"),
    "ce_id": _header("The event's id; the same cause gives the same id again."),
    "ce_type": _header("The name of the contract, such as UserMessage."),
    "ce_source": _header("The agent that sent it."),
    "ce_subject": _header("A pseudonym of the end user."),
    "ce_time": _header("When it was sent.", format="date-time"),
    "content-type": _header("What the value is.", const="application/json"),
    "traceparent": _header(
        "W3C trace context; its trace id is the trace's id everywhere.",
        pattern="^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$",
    ),
    "ilk_workflow": _header("The workflow it belongs to."),
    "ilk_tier": _header("The tier of its user."),
    "ilk_parent": _header("Ids of the records that caused it, with commas."),
    "ilk_link": _header("The trace id that an outside caller brought."),
    "ilk_redrive": _header(
        "The dead letter that people had it sent again from: agents.dlq/partition@offset."
    ),
}
_STORY = {
    "ilk_dlq_topic": _header("The topic that it could not be read from."),
    "ilk_dlq_partition": _header("Its partition there.", pattern="^[0-9]+$"),
    "ilk_dlq_offset": _header("Its offset there.", pattern="^[0-9]+$"),
    "ilk_dlq_time_ms": _header("When that topic's log took it, in ms since 1970."),
    "ilk_dlq_agent": _header("The agent that failed on it."),
    "ilk_dlq_reason": _header("What was wrong."),
    "ilk_dlq_attempts": _header("How often it was tried.", pattern="^[0-9]+$"),
}


def describe(topics: Iterable[Topic], declarations: Iterable[Declaration]) -> Document:
    register = {topic.name: topic for topic in topics}
    return {
        "asyncapi": VERSION,
        "info": {
            "title": "Interlock",
            "version": "1.0.0",
            "description": "Every topic, what it carries, and who reads and writes it.",
        },
        "defaultContentType": "application/json",
        "channels": {name: _channel(register[name]) for name in sorted(register)},
        "operations": dict(_operations(register, declarations)),
        "components": {
            "messages": _messages(register.values()),
            "schemas": _schemas(register.values()),
        },
    }


def _channel(topic: Topic) -> Document:
    message = _message_name(topic)
    return {
        "address": topic.name,
        "messages": {message: {"$ref": f"#/components/messages/{message}"}},
        "bindings": {
            "kafka": {
                "topic": topic.name,
                "partitions": topic.partitions,
                "topicConfiguration": {
                    "cleanup.policy": ["compact" if topic.compacted else "delete"],
                    "retention.ms": topic.retention_ms,
                    "max.message.bytes": topic.max_bytes,
                },
                "bindingVersion": BINDING,
            }
        },
        "x-owner": topic.owner,
        "x-writers": topic.writers,
    }


def _operations(
    register: dict[str, Topic], declarations: Iterable[Declaration]
) -> Iterator[tuple[str, Document]]:
    """An agent also writes dead letters; an ingress topic is also written from outside."""
    for topic in register.values():
        if topic.writers == "ingress":
            name, operation = _operation("send", "ingress", topic.name)
            yield name, operation | {"summary": "Producers outside of the agents."}
    for agent in declarations:
        for topic_name in agent.reads:
            name, operation = _operation("receive", agent.name, topic_name)
            yield name, operation | _about(agent) | {"bindings": _group(agent.name)}
        letters = () if agent.kind == "service" else (DEAD_LETTERS,)
        for topic_name in (*agent.writes, *letters):
            name, operation = _operation("send", agent.name, topic_name)
            yield name, operation | _about(agent)


def _operation(action: str, who: str, topic: str) -> tuple[str, Document]:
    channel = {"$ref": f"#/channels/{topic}"}
    return f"{who}.{action}.{topic}", {"action": action, "channel": channel}


def _about(agent: Declaration) -> Document:
    return {
        "summary": agent.description,
        "tags": [{"name": agent.workflow}],
        "x-agent": agent.name,
        "x-kind": agent.kind,
    }


def _group(agent: str) -> Document:
    group = {"type": "string", "enum": [f"interlock.{agent}"]}
    return {"kafka": {"groupId": group, "bindingVersion": BINDING}}


def _message_name(topic: Topic) -> str:
    return topic.contract.__name__ if topic.contract else DEAD_LETTER


def _messages(topics: Iterable[Topic]) -> Document:
    found = {_message_name(topic): topic.contract for topic in topics}
    return {
        name: _message(name) if found[name] else _dead_letter()
        for name in sorted(found)
    }


def _message(name: str) -> Document:
    return {
        "name": name,
        "contentType": "application/json",
        "headers": {"$ref": _SCHEMA_REF.format(name=EVENT_HEADERS)},
        "payload": {"$ref": _SCHEMA_REF.format(name=name)},
        "bindings": {"kafka": {"key": _TEXT, "bindingVersion": BINDING}},
    }


def _dead_letter() -> Document:
    return {
        "name": DEAD_LETTER,
        "summary": "A record as it came, bytes and headers, with its story in further headers.",
        "contentType": "application/octet-stream",
        "headers": {"$ref": _SCHEMA_REF.format(name=DEAD_LETTER_HEADERS)},
        "payload": {"description": "The value as it came, readable or not."},
    }


def _schemas(topics: Iterable[Topic]) -> Document:
    contracts = {topic.contract for topic in topics if topic.contract}
    ordered = sorted(contracts, key=lambda contract: contract.__name__)
    _, components = msgspec.json.schema_components(ordered, ref_template=_SCHEMA_REF)
    headers = {
        EVENT_HEADERS: {
            "type": "object",
            "properties": _HEADERS,
            "required": ["ce_specversion", "ce_id", "ce_type", "ce_source"],
        },
        DEAD_LETTER_HEADERS: {
            "type": "object",
            "description": "The record's own headers as they came, and these.",
            "properties": _STORY,
            "required": list(_STORY),
        },
    }
    return dict(sorted((components | headers).items()))
