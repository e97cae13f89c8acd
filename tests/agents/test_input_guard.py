"""The input guard: whoever asks for a person is held for one, unless the rules refuse the message."""

from typing import Any

import msgspec
import pytest

from agents import topics
from agents.agent import Send
from agents.chat import input_guard
from agents.events import BlockedMessage, CleanedMessage, PendingResponse, UserMessage
from agents.trial import make_context, make_event
from guardrails.rules import Rule, RuleSet
from guardrails.verdicts import why

RULES = [
    Rule(
        id=f"{action}-unicorns",
        name="Unicorns",
        direction="input",
        kind="terms",
        action=action,
        terms=(f"{action} unicorn",),
        reply="No." if action == "block" else "",
        team="legal" if action == "escalate" else "",
    )
    for action in ("block", "tag", "escalate")
]


def guard(text: str, **fields: Any) -> Send:
    said = UserMessage(conversation_id="c1", text=text, **fields)
    event, ctx = make_event(topics.USER_RAW, said), make_context(RuleSet(tuple(RULES)))
    [sent] = input_guard.handle(event, ctx)
    return sent


@pytest.mark.parametrize("text", ["Hello?", "a tag unicorn"])
def test_who_asks_for_a_person_waits_for_one(text: str) -> None:
    sent = guard(text, wants_person=True)

    assert sent.topic == topics.PENDING
    assert isinstance(sent.data, PendingResponse)
    assert (sent.data.question, sent.data.team) == (text, "general")
    assert sent.data.text  # what a moderator starts from
    assert sent.data.verdict.action == "escalate"
    assert why(sent.data.verdict) == "The customer asked for a person"


def test_who_does_not_goes_on_to_a_model() -> None:
    assert isinstance(guard("Hello?").data, CleanedMessage)


def test_a_message_that_the_rules_refuse_is_refused_all_the_same() -> None:
    assert isinstance(guard("a block unicorn", wants_person=True).data, BlockedMessage)


def test_a_message_that_a_rule_holds_stays_with_that_rules_team() -> None:
    sent = guard("an escalate unicorn", wants_person=True)

    assert isinstance(sent.data, PendingResponse)
    assert sent.data.team == "legal"
    assert why(sent.data.verdict).startswith("Unicorns")


def test_what_is_redacted_goes_on_without_it() -> None:
    rule = Rule(
        id="personal",
        name="Personal data",
        direction="input",
        kind="pii",
        action="redact",
        types=("email",),
    )
    said = UserMessage(conversation_id="c1", text="I am max@example.com")
    ctx = make_context(RuleSet((rule,)))
    [sent] = input_guard.handle(make_event(topics.USER_RAW, said), ctx)

    assert isinstance(sent.data, CleanedMessage)
    assert sent.data.text == sent.data.verdict.redacted == "I am [e-mail]"
    assert b"max@" not in msgspec.json.encode(sent.data)
