"""Agents tried on lines of a file: what they send, and what is said of bad lines."""

import json
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from agents import registry, topics, trial
from agents.agent import Agent, Answer, Context, Event, Said, Send
from agents.cloudevents import decode_headers
from agents.events import ModelRequest, UserMessage
from agents.registry import UnknownAgentError
from agents.trial import TrialError, make_context, make_event
from guardrails.rules import Rule, RuleSet, encode_rule_set

RULE = Rule(
    id="no-unicorns",
    name="No unicorns",
    direction="input",
    kind="terms",
    action="block",
    terms=("unicorn",),
    reply="No.",
)
PLAIN = make_context(RuleSet(()))
MESSAGE = {"conversation_id": "c1", "text": "Have you a unicorn?"}
REQUEST = {"turn_id": "t", "conversation_id": "c", "tier": "free", "text": "hi"}


class Parrot:
    async def answer(
        self, request_id: str, *, tier: str, messages: Sequence[Said]
    ) -> Answer:
        return Answer(
            text=" / ".join(said.text[-4:] for said in messages),
            backend="test",
            model="parrot",
            finish_reason="stop",
            latency_ms=1.0,
        )


async def try_lines(
    agent: Agent, *lines: Any, ctx: Context | None = None
) -> list[dict[str, Any]]:
    encoded = [
        line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines
    ]
    return [
        msgspec.json.decode(trial.to_json(record))
        async for record in trial.run(agent, encoded, ctx or PLAIN)
    ]


def make_agent(**options: Any) -> Agent:
    given: dict[str, Any] = {
        "name": "tried",
        "description": "Tried.",
        "kind": "router",
        "reads": (topics.USER_RAW,),
    }
    return Agent(**(given | options))


async def test_a_payload_alone_is_enough() -> None:
    [sent] = await try_lines(registry.declaration("input-guard"), MESSAGE)

    assert sent["topic"] == topics.USER_CLEANED
    assert sent["payload"]["text"] == MESSAGE["text"]
    assert sent["payload"]["verdict"]["action"] == "allow"


async def test_headers_are_the_events_own() -> None:
    line = {"data": MESSAGE, "headers": {"ce_id": "mine"}}

    [sent] = await try_lines(registry.declaration("input-guard"), line)

    assert sent["payload"]["turn_id"] == "mine"


async def test_the_same_lines_give_the_same_ids() -> None:
    agent = registry.declaration("input-guard")

    first = await try_lines(agent, MESSAGE, MESSAGE)
    second = await try_lines(agent, MESSAGE, MESSAGE)

    assert first == second
    assert first[0]["id"] != first[1]["id"]


async def test_other_rules_decide_otherwise() -> None:
    ctx = make_context(trial.read_rules(encode_rule_set(RuleSet((RULE,)))))

    [sent] = await try_lines(registry.declaration("input-guard"), MESSAGE, ctx=ctx)

    assert sent["topic"] == topics.USER_BLOCKED
    assert sent["payload"]["reply"] == "No."


async def test_a_model_agent_is_awaited() -> None:
    ctx = make_context(model=Parrot(), knowledge="cars")

    [sent] = await try_lines(registry.declaration("responder"), REQUEST, ctx=ctx)

    assert sent["topic"] == topics.RESPONSES_RAW
    assert sent["payload"]["text"].endswith("/ hi")


async def test_a_line_may_say_its_topic() -> None:
    line = {"data": REQUEST, "topic": "agent.requests.pro"}
    event = trial.read_line(
        registry.declaration("responder"), json.dumps(line).encode(), 1
    )

    assert event.record.topic == "agent.requests.pro"


async def test_blank_lines_count_but_are_no_events() -> None:
    with pytest.raises(TrialError, match=r"^Line 3 "):
        await try_lines(registry.declaration("input-guard"), MESSAGE, b" ", b"{")


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        pytest.param(b"{", "Line 1 cannot be read", id="no JSON"),
        pytest.param(b"[]", "Line 1 cannot be read", id="no object"),
        pytest.param(b'"\xff"', "Line 1 cannot be read", id="no text"),
        pytest.param(b'{"text": "\xff"}', "Line 1 cannot be read", id="no UTF-8"),
        pytest.param({"text": "hi"}, "`conversation_id`", id="field missing"),
        pytest.param({"data": {"text": 1}}, "Expected `str`", id="wrong type"),
        pytest.param(
            {"data": MESSAGE, "headers": 1}, "Expected `object`", id="headers"
        ),
        pytest.param(
            {"data": MESSAGE, "headers": {"ce_type": ""}},
            "header ce_type is missing",
            id="header missing",
        ),
        pytest.param(
            {"data": MESSAGE, "topic": "agent.responses.raw"},
            "does not read agent.responses.raw, only user.messages.raw",
            id="another topic",
        ),
    ],
)
async def test_what_cannot_be_read_is_told(line: Any, sentence: str) -> None:
    with pytest.raises(TrialError, match=sentence):
        await try_lines(registry.declaration("input-guard"), line)


async def test_a_line_must_say_its_topic_where_topics_differ() -> None:
    agent = make_agent(
        reads=(topics.USER_RAW, topics.RESPONSES_RAW), handle=lambda *_: ()
    )

    with pytest.raises(TrialError, match='it must say its "topic"'):
        await try_lines(agent, MESSAGE)
    assert await try_lines(agent, {"data": MESSAGE, "topic": topics.USER_RAW}) == []


async def test_a_model_that_was_not_given_is_told() -> None:
    with pytest.raises(TrialError, match=r"^Line 1: no model was given"):
        await try_lines(registry.declaration("responder"), REQUEST)


async def test_sending_what_is_not_declared_is_told() -> None:
    def handle(event: Event[UserMessage], ctx: Context) -> list[Send]:
        return [Send(topics.RESPONSES_FINAL, event.data)]

    with pytest.raises(TrialError, match="does not declare that it writes"):
        await try_lines(make_agent(handle=handle), MESSAGE)


async def test_an_agents_own_failure_is_not_hidden() -> None:
    def handle(event: Event[UserMessage], ctx: Context) -> list[Send]:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await try_lines(make_agent(handle=handle), MESSAGE)


async def test_a_sink_cannot_be_tried() -> None:
    async def sink(_: Any) -> None: ...

    with pytest.raises(TrialError, match="writes to the database"):
        await try_lines(make_agent(kind="sink", handle_batch=sink), MESSAGE)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [("gate", "belongs to the platform"), ("nobody", "no agent 'nobody'")],
)
def test_only_agents_with_a_pure_handler_are_found(name: str, sentence: str) -> None:
    with pytest.raises(UnknownAgentError, match=sentence):
        registry.declaration(name)


@pytest.mark.parametrize(
    ("rules", "sentence"),
    [
        (b"{", "The rules cannot be read"),
        (b'{"rules": [{"id": "x"}]}', "The rules cannot be read"),
        (b'"\xff"', "The rules cannot be read"),
        (
            encode_rule_set(RuleSet((msgspec.structs.replace(RULE, terms=()),))),
            "needs at least one term",
        ),
    ],
)
def test_rules_that_cannot_be_enforced_are_told(rules: bytes, sentence: str) -> None:
    with pytest.raises(TrialError, match=sentence):
        trial.read_rules(rules)


def test_a_made_event_is_one_that_was_read() -> None:
    event = make_event("agent.requests.pro", ModelRequest(**REQUEST), number=3)

    assert event.envelope == decode_headers(event.record.headers)
    assert event.envelope.type == "ModelRequest"
    assert event.record.offset == 3


async def test_nobody_has_seen_anything() -> None:
    assert await trial.NoHistory().delivered("c", before="t") == []
