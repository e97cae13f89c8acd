"""An independent count of whom a stop came too late for: plain Python over what the topics and the outcomes say."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

import msgspec
from django.db import connection

from agents.cloudevents import decode_headers
from agents.records import Record

# By the source of a text, the agents whose work is in it; others have only their own in it.
BEFORE = {
    "output-guard": {"output-guard", "responder", "tier-router", "input-guard"},
}
_OUTCOMES = "SELECT turn_id, state, record_id, changed_at FROM chat_outcome"


class Heard(msgspec.Struct):
    """A reply that its user has got."""

    turn: str
    conversation: str
    tier: str
    at: datetime
    text: str
    source: str
    rules: set[str]
    backends: set[str]


class Count:
    """All that was heard, once the records and the outcomes were read."""

    def __init__(self, records: Iterable[Record]) -> None:
        self._values: dict[str, dict[str, Any]] = {}
        self._envelopes: dict[str, Any] = {}
        self._rules: dict[str, set[str]] = defaultdict(set)
        self._backends: dict[str, set[str]] = defaultdict(set)
        for record in records:
            self._read(record)
        self.heard = [
            heard for row in _rows() if (heard := self._heard(*row)) is not None
        ]

    def _read(self, record: Record) -> None:
        value, envelope = (
            msgspec.json.decode(record.value),
            decode_headers(record.headers),
        )
        self._values[envelope.id], self._envelopes[envelope.id] = value, envelope
        turn = value.get("turn_id", envelope.id)
        for hit in value.get("verdict", {}).get("findings", ()):
            self._rules[turn].add(hit["rule"])
        if "backend" in value:
            self._backends[turn].add(value["backend"])

    def _heard(self, turn: str, state: str, record: str, at: datetime) -> Heard | None:
        value = self._values.get(record)
        if value is None or state not in {"delivered", "rejected", "expired"}:
            return None
        text = value.get("reply", value["text"])
        if not text:
            return None
        behind = self._envelopes[record]
        while behind.source == "moderation":
            behind = self._envelopes[behind.parents[0]]
        return Heard(
            turn=turn,
            conversation=value["conversation_id"],
            tier=value["tier"],
            at=at,
            text=text,
            source=behind.source,
            rules=self._rules[turn],
            backends=self._backends[turn],
        )

    def reached(
        self, stop: Mapping[str, Any], asked: Mapping[str, Any], committed: set[str]
    ) -> list[tuple[str, str]]:
        """Return conversations and turns. committed: turns between request and proof."""
        return sorted(
            (heard.conversation, heard.turn)
            for heard in self.heard
            if _is_in_scope(heard, stop)
            and _is_in_time(heard, stop, asked, committed)
            and _is_asked_for(heard, asked)
        )


def _rows() -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(_OUTCOMES)
        return list(cursor.fetchall())


def _is_in_scope(heard: Heard, stop: Mapping[str, Any]) -> bool:
    value = stop["value"]
    found = {
        "everything": True,
        "workflow": value == "chat",
        "tier": heard.tier == value,
        "conversation": heard.conversation == value,
        "agent": _is_work_of(heard, value),
    }
    return bool(found[stop["scope"]])


def _is_in_time(
    heard: Heard, stop: Mapping[str, Any], asked: Mapping[str, Any], committed: set[str]
) -> bool:
    names_bad = any(asked.get(name) for name in ("rule", "phrase", "agent", "backend"))
    back = timedelta(hours=24 if names_bad else 1)
    since = asked.get("since") or stop["requested_at"] - back
    if heard.at < since:
        return False
    if asked.get("until"):
        return bool(heard.at <= asked["until"])
    if stop["proven_at"] is None:
        return bool(heard.at <= asked["now"])
    return heard.turn in committed or bool(heard.at <= stop["proven_at"])


def _is_asked_for(heard: Heard, asked: Mapping[str, Any]) -> bool:
    return (
        (not asked.get("rule") or asked["rule"] in heard.rules)
        and (not asked.get("backend") or asked["backend"] in heard.backends)
        and (not asked.get("agent") or _is_work_of(heard, asked["agent"]))
        and str(asked.get("phrase", "")).lower() in heard.text.lower()
    )


def _is_work_of(heard: Heard, agent: str) -> bool:
    return agent in BEFORE.get(heard.source, {heard.source})
