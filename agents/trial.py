"""Runs one agent on events that somebody wrote, without Kafka and without storing anything."""

from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any, TypeVar

import msgspec

from agents import cloudevents, topics, work
from agents.agent import (
    Agent,
    Answer,
    Context,
    Event,
    History,
    Model,
    NoScorer,
    Said,
    Scorer,
    Send,
    UnavailableError,
)
from agents.cloudevents import Envelope
from agents.control_state import ControlState
from agents.events import Payload
from agents.records import Record
from guardrails.checks import check_rule_set
from guardrails.dealer import DEALER
from guardrails.engine import compile_rules
from guardrails.rules import RuleSet, decode_rule_set

P = TypeVar("P", bound=Payload)

SOURCE = "trial"
_WRAPPED = {"data", "headers", "topic"}


class TrialError(Exception):
    """Something that was given cannot be used. Says what and why."""


class Line(msgspec.Struct, frozen=True):
    """An event with its headers; in a file the payload may also stand alone."""

    data: msgspec.Raw
    headers: dict[str, str] = {}
    topic: str = ""


class NoModel:
    """Stands where an agent should ask no model."""

    async def answer(
        self, request_id: str, *, tier: str, messages: Sequence[Said]
    ) -> Answer:
        raise UnavailableError(f"no model was given for {request_id}")


class NoHistory:
    """A conversation of which nobody has seen anything."""

    async def delivered(self, conversation_id: str, *, before: str) -> list[Said]:
        return []


def make_context(
    rule_set: RuleSet = DEALER,
    *,
    model: Model | None = None,
    history: History | None = None,
    scorer: Scorer | None = None,
    knowledge: str = "",
) -> Context:
    return Context(
        engine=compile_rules(rule_set),
        state=ControlState(),
        model=model or NoModel(),
        history=history or NoHistory(),
        scorer=scorer or NoScorer(),
        knowledge=knowledge,
    )


def make_event(topic: str, data: P, *, number: int = 1) -> Event[P]:
    """Return an event as if it had been read as the number-th record of the topic."""
    headers = _headers(topic, number, {})
    value = msgspec.json.encode(data)
    envelope = cloudevents.decode_headers(headers)
    return Event(
        data=data, envelope=envelope, record=_record(topic, number, value, headers)
    )


def read_rules(data: bytes) -> RuleSet:
    """Read a rule-set of the form {"rules": […]}. TrialError says what is wrong with it."""
    try:
        rule_set = decode_rule_set(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise TrialError(f"The rules cannot be read: {error}.") from error
    problems = check_rule_set(rule_set)
    if problems:
        raise TrialError(" ".join(problems))
    return rule_set


async def run(
    agent: Agent, lines: Iterable[bytes], ctx: Context
) -> AsyncIterator[work.Outgoing]:
    """Yield what the agent sends, line by line; the first bad line ends it with TrialError."""
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        event = read_line(agent, line, number)
        try:
            records = work.outgoing(agent, event, await _handle(agent, event, ctx))
        except (UnavailableError, work.ContractError) as error:
            raise TrialError(f"Line {number}: {error}.") from error
        for record in records:
            yield record


def read_line(agent: Agent, line: bytes, number: int) -> Event[Any]:
    """Read a line as the runner reads a record. TrialError names the line and what is wrong."""
    try:
        given = _unwrap(line)
        topic = _topic(agent, given)
        headers = _headers(topic, number, given.headers)
        record = _record(topic, number, bytes(given.data), headers)
        return work.read_event(record, work.decoders_for(agent))
    except (
        TrialError,
        work.UnreadableError,
        msgspec.DecodeError,
        UnicodeDecodeError,
    ) as error:
        raise TrialError(f"Line {number} cannot be read: {error}.") from error


def to_json(record: work.Outgoing) -> bytes:
    """Return what a person wants to see of a record."""
    return msgspec.json.encode(
        {
            "topic": record.topic,
            "id": cloudevents.decode_headers(record.headers).id,
            "payload": msgspec.Raw(record.value),
        }
    )


async def _handle(agent: Agent, event: Event[Any], ctx: Context) -> list[Send]:
    waits = agent.waits is not None and agent.waits(event, ctx)
    if agent.handle is not None and not waits:
        return list(agent.handle(event, ctx))
    if agent.handle_async is not None:
        return [send async for send in agent.handle_async(event, ctx)]
    raise TrialError(f"{agent.name} writes to the database and cannot be tried alone.")


def _unwrap(line: bytes) -> Line:
    fields = msgspec.json.decode(line, type=dict[str, msgspec.Raw])
    if "data" in fields and fields.keys() <= _WRAPPED:
        return msgspec.json.decode(line, type=Line)
    return Line(msgspec.Raw(line))


def _topic(agent: Agent, line: Line) -> str:
    """Return where the event comes from: it need not say when all topics carry the same."""
    if line.topic and line.topic not in agent.reads:
        known = ", ".join(agent.reads)
        raise TrialError(f"{agent.name} does not read {line.topic}, only {known}")
    contracts = {topics.contract_of(name) for name in agent.reads}
    if not line.topic and len(contracts) > 1:
        known = ", ".join(agent.reads)
        raise TrialError(f'it must say its "topic", which is one of {known}')
    return line.topic or agent.reads[0]


def _headers(topic: str, number: int, given: dict[str, str]) -> cloudevents.Headers:
    """Complete the headers: the same line of the same file always has the same ids."""
    event_id = given.get("ce_id") or cloudevents.derive_id(SOURCE, "", topic, number)
    envelope = Envelope(
        id=event_id,
        type=topics.contract_of(topic).__name__,
        source=SOURCE,
        trace_id=cloudevents.trace_id_of(event_id),
    )
    headers = dict(cloudevents.encode_headers(envelope))
    return list((headers | {n: v.encode() for n, v in given.items()}).items())


def _record(
    topic: str, number: int, value: bytes, headers: cloudevents.Headers
) -> Record:
    return Record(
        topic=topic,
        partition=0,
        offset=number,
        timestamp_ms=0,
        key=b"trial",
        value=value,
        headers=headers,
    )
