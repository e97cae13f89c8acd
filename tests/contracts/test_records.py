"""Records as the runner really encodes them are what the exported documents say."""

import json
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agents import cloudevents, contracts, registry, topics, work
from agents.agent import Agent, Event, Send
from agents.cloudevents import Envelope
from agents.events import Payload
from agents.records import Record
from tests.contracts.instances import payloads

SCHEMAS = contracts.json_schemas()
VALIDATORS = {
    name: jsonschema.Draft202012Validator(schema) for name, schema in SCHEMAS.items()
}
COMPONENTS = contracts.asyncapi(registry.declarations())["components"]["schemas"]
CARRYING = [name for name, topic in topics.TOPICS.items() if topic.contract]


def make_agent(topic: str) -> Agent:
    return Agent(
        name="writer",
        description="Writes.",
        kind="router",
        reads=(topic,),
        writes=(topic,),
    )


def make_cause(topic: str, data: Payload) -> Event[Any]:
    envelope = Envelope(
        id="cause", type="X", source="test", trace_id="a" * 32, subject="u", tier="pro"
    )
    return Event(data=data, envelope=envelope, record=make_record(topic, b"", []))


def make_record(topic: str, value: bytes, headers: cloudevents.Headers) -> Record:
    return Record(
        topic=topic,
        partition=0,
        offset=7,
        timestamp_ms=1,
        key=b"c1",
        value=value,
        headers=headers,
    )


def encode(topic: str, data: Payload) -> Record:
    [out] = work.outgoing(
        make_agent(topic), make_cause(topic, data), [Send(topic, data)]
    )
    return make_record(out.topic, out.value, out.headers)


@pytest.mark.parametrize("topic", CARRYING)
@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
@given(data=st.data())
def test_a_record_is_what_its_schema_says_and_reads_back_equal(
    topic: str, data: st.DataObject
) -> None:
    contract = topics.contract_of(topic)
    payload = data.draw(payloads(contract))

    record = encode(topic, payload)

    VALIDATORS[contract.__name__].validate(json.loads(record.value))
    decoders = work.decoders_for(make_agent(topic))
    assert work.read_event(record, decoders).data == payload


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_schema_is_one_of_2020_12(name: str) -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMAS[name])


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_schema_refuses_a_record_without_its_fields(name: str) -> None:
    assert not VALIDATORS[name].is_valid({})


@pytest.mark.parametrize("linked", ["", "b" * 32])
def test_headers_are_those_of_the_document(linked: str) -> None:
    envelope = Envelope(
        id="1",
        type="UserMessage",
        source="chat",
        trace_id="a" * 32,
        subject="someone",
        linked_trace=linked,
    )

    headers = _text(cloudevents.encode_headers(envelope))

    described = COMPONENTS["EventHeaders"]
    jsonschema.Draft202012Validator(described).validate(headers)
    assert headers.keys() <= described["properties"].keys()


def test_headers_of_dead_letters_are_those_of_the_document() -> None:
    unreadable = make_record(topics.USER_RAW, b"\xff", [("ce_id", b"1")])

    letter = work.dead_letter(unreadable, agent="a", reason="not JSON", attempts=1)

    headers = _text(letter.headers)
    described = COMPONENTS["DeadLetterHeaders"]
    jsonschema.Draft202012Validator(described).validate(headers)
    assert headers.keys() - {"ce_id"} == described["properties"].keys()


def test_headers_that_cannot_be_read_are_not_those_of_the_document() -> None:
    described = jsonschema.Draft202012Validator(COMPONENTS["EventHeaders"])

    assert not described.is_valid({"ce_id": "1"})


def _text(headers: cloudevents.Headers) -> dict[str, str]:
    return {name: value.decode() for name, value in headers}
