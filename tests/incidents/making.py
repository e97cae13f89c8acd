"""Random turns: every record that the chat's agents would write of them, and what is said of them."""

import random
from collections.abc import Iterator
from itertools import count
from typing import Any
from uuid import UUID

import msgspec

from agents import cloudevents, topics
from agents.agent import Event
from agents.cloudevents import Envelope
from agents.events import (
    BlockedMessage,
    CleanedMessage,
    DecidedResponse,
    FinalResponse,
    FlaggedResponse,
    ModelRequest,
    Payload,
    PendingResponse,
    RawResponse,
    UserMessage,
)
from agents.records import Record
from controlplane.chat.facts import fact_of, failed
from controlplane.chat.turns import Fact, sha256
from guardrails.verdicts import Verdict
from tests.chat.making import finding

RULES = ("discount-free", "promise", "personal-data")
BACKENDS = ("demo", "local", "gpt")
PHRASES = ("25 % off", "100%", "gratis Räder", "a_b", "back\\slash", "'quoted'")
FILLING = (
    "It costs",
    "as listed,",
    "with WINTER wheels",
    "on Saturday.",
    "Grüße",
    "axb",
)
FATES = ("final", "tagged", "replaced", "blocked", "held", "held", "failed", "open")
OUTSIDER = "quote-agent"  # writes final texts, and no registry knows it


class Turn(msgspec.Struct, kw_only=True):
    """facts: what gate and intake are told of it, in order."""

    id: str
    conversation: str
    tier: str
    trace_id: str
    fate: str
    facts: list[Fact] = []


class Making:
    """Makes turns from a seed, and keeps every record that they are made of."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)  # noqa: S311
        self.records: list[Record] = []
        self._numbers = count()
        self._made = 0

    def conversation(self) -> tuple[str, str]:
        """Return one of those of now, and its tier: old ones are blocked by turns that nobody answers."""
        number = self._made // 6 + self.random.randrange(25)
        return f"c_{number:02}", topics.TIERS[number % len(topics.TIERS)]

    def text(self) -> str:
        words = self.random.choices(FILLING, k=3)
        if self.random.random() < 0.5:
            phrase = self.random.choice(PHRASES)
            words.insert(1, self.random.choice([phrase, phrase.upper()]))
        return " ".join(words)

    def verdict(self, action: Any = "allow", **fields: Any) -> Verdict:
        hits = (
            ()
            if action == "allow"
            else self.random.sample(RULES, self.random.randint(1, 2))
        )
        findings = tuple(finding(rule=rule, action=action) for rule in hits)
        return Verdict(action=action, findings=findings, **fields)

    def turn(self) -> Turn:
        conversation, tier = self.conversation()
        self._made += 1
        if self.random.random() < 0.2:
            tier = self.random.choice(topics.TIERS)
        made = Turn(
            id=str(UUID(int=self.random.getrandbits(128), version=4)),
            conversation=conversation,
            tier=tier,
            trace_id=f"{self.random.getrandbits(128):032x}",
            fate=self.random.choice(FATES),
        )
        made.facts = [fact_of(self._asked(made)), *self._answered(made)]
        return made

    def decided(
        self, turn: Turn, approval: str, *, parent: str, state: str, text: str
    ) -> Fact:
        """parent: the record that was held."""
        data = DecidedResponse(
            **_of(turn),
            approval_id=approval,
            text=text,
            text_sha256=sha256(text),
            decided_by="mira",
        )
        topic = f"agent.responses.{state}"
        return fact_of(
            self._event(turn, topic, data, source="moderation", parents=(parent,))
        )

    def _asked(self, turn: Turn) -> Event[Any]:
        said = UserMessage(
            conversation_id=turn.conversation,
            text=self.text(),
            user="u_1",
            tier=turn.tier,
        )
        return self._event(turn, topics.USER_RAW, said, id=turn.id, source="widget")

    def _answered(self, turn: Turn) -> Iterator[Fact]:
        if turn.fate == "blocked":
            verdict = self.verdict("block")
            blocked = BlockedMessage(
                **_of(turn), text="bad", reply=self.text(), verdict=verdict
            )
            yield fact_of(
                self._event(turn, topics.USER_BLOCKED, blocked, source="input-guard")
            )
            return
        action = self.random.choice(["allow", "allow", "tag"])
        cleaned = CleanedMessage(**_of(turn), text="q", verdict=self.verdict(action))
        self._event(turn, topics.USER_CLEANED, cleaned, source="input-guard")
        if self.random.random() < 0.1:
            yield from self._held_question(turn)
            return
        request = ModelRequest(**_of(turn), text="q")
        self._event(
            turn, topics.request_topic(turn.tier), request, source="tier-router"
        )
        if turn.fate == "open":
            return
        if turn.fate == "failed":
            yield failed(
                turn.id,
                turn.conversation,
                record_id=f"dlq-{turn.id}",
                reason="no model",
            )
            return
        yield from self._checked(turn, self._raw(turn))

    def _held_question(self, turn: Turn) -> Iterator[Fact]:
        turn.fate = "held"
        yield self._pending(turn, self.text(), source="input-guard")

    def _raw(self, turn: Turn) -> str:
        text = self.text()
        raw = RawResponse(
            **_of(turn),
            question="q",
            text=text,
            backend=self.random.choice(BACKENDS),
            model="m",
        )
        self._event(turn, topics.RESPONSES_RAW, raw, source="responder")
        return text

    def _checked(self, turn: Turn, text: str) -> Iterator[Fact]:
        source = OUTSIDER if self.random.random() < 0.1 else "output-guard"
        if turn.fate == "held":
            yield self._pending(turn, text, source=source)
        else:
            yield self._final(turn, text, source=source)
        if (
            self.random.random() < 0.15
        ):  # it crashed after publishing, and says otherwise
            yield self._final(turn, text, source=source)

    def _final(self, turn: Turn, text: str, *, source: str) -> Fact:
        action = {"tagged": "tag", "replaced": "replace"}.get(turn.fate, "allow")
        verdict = self.verdict(action)
        if action == "replace":
            text = self.text()
            flagged = FlaggedResponse(
                **_of(turn), question="q", text="bad", replaced_by=text, verdict=verdict
            )
            self._event(turn, topics.RESPONSES_FLAGGED, flagged, source=source)
        final = FinalResponse(**_of(turn), text=text, verdict=verdict)
        return fact_of(self._event(turn, topics.RESPONSES_FINAL, final, source=source))

    def _pending(self, turn: Turn, text: str, *, source: str) -> Fact:
        team = self.random.choice(["general", "discount"])
        verdict = self.verdict("escalate", team=team)
        data = PendingResponse(
            **_of(turn), question="q", text=text, team=team, verdict=verdict
        )
        return fact_of(
            self._event(turn, topics.pending_topic(team), data, source=source)
        )

    def _event(
        self, turn: Turn, topic: str, data: Payload, **fields: Any
    ) -> Event[Any]:
        """Return what a sink gets; the record is kept, to be written to Kafka."""
        defaults = {
            "id": f"e-{next(self._numbers)}",
            "type": type(data).__name__,
            "parents": (),
        }
        envelope = Envelope(
            trace_id=turn.trace_id, tier=turn.tier, **(defaults | fields)
        )
        record = Record(
            topic=topic,
            partition=0,
            offset=0,
            timestamp_ms=0,
            key=turn.conversation.encode(),
            value=msgspec.json.encode(data),
            headers=cloudevents.encode_headers(envelope),
        )
        self.records.append(record)
        return Event(data=data, envelope=envelope, record=record)


def _of(turn: Turn) -> dict[str, Any]:
    return {"turn_id": turn.id, "conversation_id": turn.conversation, "tier": turn.tier}
