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

# Whoever fails turns for letters holds it shared until that is committed; a redrive holds it
# alone. So a turn fails before its redrive opens it, or not at all for that letter.
LETTERS = 0x1A7E610E
_ID_MAX_CHARS = 96  # what PostgreSQL keeps of it, with a prefix


class _Correction(msgspec.Struct, frozen=True):
    correction_id: str


class _Named(msgspec.Struct, frozen=True):
    turn_id: str
    approval_id: str = ""
    correction: _Correction | None = None

    @property
    def correction_id(self) -> str:
        return plain(self.correction.correction_id) if self.correction else ""


class About(msgspec.Struct, frozen=True, kw_only=True):
    """What a letter says of its turn: its id, or else only the trace it is on."""

    reason: str
    record_id: str
    turn_id: str
    trace_id: str
    approval_id: str
    correction_id: str = ""

    @property
    def is_of_a_person(self) -> bool:
        """Whether a person decided or wrote what the record says."""
        return bool(self.approval_id or self.correction_id)

    def is_about(self, turn: str, trace: str) -> bool:
        """The turn that is named counts; the trace may have others."""
        return self.turn_id == turn if self.turn_id else self.trace_id == trace


def about(headers: Headers, value: bytes) -> About | None:
    """Read a letter, whatever its bytes are. None if no answer waits for who failed on it."""
    own, story = open_letter(headers)
    if story.get("ilk_dlq_agent") not in agents_on_the_way():
        return None
    texts = {name: plain(text.decode(errors="replace")) for name, text in own}
    if story.get("ilk_dlq_topic") == topics.USER_RAW:
        named = _Named(texts.get("ce_id", ""))  # it opens the turn, and is named as it
    else:
        named = _named_in(value)
    found = About(
        reason=plain(story.get("ilk_dlq_reason", "")),
        record_id=texts.get("ce_id", "")[:_ID_MAX_CHARS],
        turn_id=named.turn_id,
        trace_id=_trace_of(own, texts),
        approval_id=named.approval_id,
        correction_id=named.correction_id,
    )
    return found if found.turn_id or found.trace_id else None


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


def _named_in(value: bytes) -> _Named:
    try:
        named = msgspec.json.decode(value, type=_Named)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _Named("")
    return msgspec.structs.replace(named, turn_id=plain(named.turn_id))


def _trace_of(headers: Headers, texts: dict[str, str]) -> str:
    try:
        return decode_headers(headers).trace_id
    except HeaderError:
        return parse_traceparent(texts.get("traceparent", ""))
