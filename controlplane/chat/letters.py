"""Which turn a dead letter is about: it fails there, and a redrive opens it again."""

from functools import cache

import msgspec

from agents import topics
from agents.cloudevents import (
    HeaderError,
    Headers,
    decode_headers,
    parse_traceparent,
)
from agents.postgres import plain
from agents.registry import declarations
from agents.work import open_letter


class _OfTurn(msgspec.Struct, frozen=True):
    turn_id: str


class About(msgspec.Struct, frozen=True):
    """What a letter says of its turn: its id, or else only the trace it is on."""

    turn_id: str = ""
    trace_id: str = ""
    reason: str = ""

    @property
    def is_nothing(self) -> bool:
        return not self.turn_id and not self.trace_id


def about(headers: Headers, value: bytes) -> About:
    """Read a letter, whatever its bytes are. Nothing if no answer waits for its agent."""
    own, story = open_letter(headers)
    if story.get("ilk_dlq_agent") not in agents_on_the_way():
        return About()
    reason = plain(story.get("ilk_dlq_reason", ""))
    named = {name: text.decode(errors="replace") for name, text in own}
    if story.get("ilk_dlq_topic") == topics.USER_RAW:
        turn = plain(named.get("ce_id", ""))
    else:
        turn = _turn_in(value)
    if turn:
        return About(turn_id=turn, reason=reason)
    return About(trace_id=_trace_of(own, named), reason=reason)


@cache
def agents_on_the_way() -> set[str]:
    """Return the agents that an answer waits for: without any other it goes on."""
    declared = {agent.name: agent for agent in declarations()}
    found = {"gate", "intake"}
    while more := {
        name
        for reader in found
        for name, agent in declared.items()
        if name not in found and set(agent.writes) & set(declared[reader].reads)
    }:
        found |= more
    return found


def _turn_in(value: bytes) -> str:
    try:
        return plain(msgspec.json.decode(value, type=_OfTurn).turn_id)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""


def _trace_of(headers: Headers, named: dict[str, str]) -> str:
    try:
        return decode_headers(headers).trace_id
    except HeaderError:
        return parse_traceparent(named.get("traceparent", ""))
