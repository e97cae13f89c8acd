"""What an agent is: a declaration and a function from one event to events."""

from collections.abc import (
    AsyncIterable,
    Awaitable,
    Callable,
    Iterable,
    Mapping,
    Sequence,
)
from typing import Any, Generic, Literal, Protocol, TypeVar

import msgspec

from agents.cloudevents import Envelope
from agents.control_state import ControlState
from agents.events import Payload
from agents.records import Partition, Record
from guardrails.context import AnyScore, ScoreError
from guardrails.engine import Engine
from guardrails.rules import Rule

P = TypeVar("P", bound=Payload)

FALLBACK_TEXT = "I cannot answer that right now. A colleague will help you."
Kind = Literal["guard", "router", "model", "sink"]


class UnavailableError(Exception):
    """Something outside the record is down. The work is tried again, for as long as it takes."""


class Event(msgspec.Struct, Generic[P], frozen=True, kw_only=True, gc=False):
    """A record that was read: what it says, who sent it, and where it stands in Kafka."""

    data: P
    envelope: Envelope
    record: Record

    @property
    def id(self) -> str:
        return self.envelope.id


class Send(msgspec.Struct, frozen=True, gc=False):
    """An event to publish. Its key is the one of the event that caused it."""

    topic: str
    data: Payload


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What a model said, and which backend said it."""

    text: str
    backend: str
    model: str
    finish_reason: str
    latency_ms: float
    kind: Literal["reply", "fallback"] = "reply"


class Said(msgspec.Struct, frozen=True):
    """One message of what a model is shown."""

    role: Literal["system", "user", "assistant"]
    text: str


class Model(Protocol):
    async def answer(
        self, request_id: str, *, tier: str, messages: Sequence[Said]
    ) -> Answer:
        """Return the stored answer of this request, or ask the tier's backend and store it."""


class History(Protocol):
    async def delivered(self, conversation_id: str, *, before: str) -> list[Said]:
        """Return what both sides have seen, oldest first, without the turn `before`."""


class Scorer(Protocol):
    async def scores(
        self, text: str, names: Iterable[str], rules: Sequence[Rule]
    ) -> Mapping[str, AnyScore]:
        """Return each name with what models say of the text, or with why they do not. rules: whose names they are."""


class NoScorer:
    """Says for every name that there is no scorer."""

    async def scores(
        self, text: str, names: Iterable[str], rules: Sequence[Rule]
    ) -> Mapping[str, AnyScore]:
        return dict.fromkeys(names, ScoreError("no scorer was given"))


class Context(msgspec.Struct, frozen=True, kw_only=True):
    """What a handler may use. Tests build one of plain fakes.

    is_in_force: whether a verdict of an engine may be given now.
    """

    engine: Engine
    is_in_force: Callable[[Engine], bool] = lambda _: True
    state: ControlState
    model: Model
    history: History
    scorer: Scorer = NoScorer()
    knowledge: str = ""

    def fallback_text(self, tier: str) -> str:
        """Return what the tier's users hear when there is no answer."""
        route = self.state.route(tier)
        return route.fallback_text if route else FALLBACK_TEXT


Handler = Callable[[Event[Any], Context], Iterable[Send]]
AsyncHandler = Callable[[Event[Any], Context], AsyncIterable[Send]]
BatchHandler = Callable[[Sequence[Event[Any]]], Awaitable[None]]
Waits = Callable[[Event[Any], Context], bool]
RecordsHandler = Callable[[Sequence[Record]], Awaitable[None]]
StartOffsets = Callable[[list[Partition]], Mapping[Partition, int]]


class Agent(msgspec.Struct, frozen=True, kw_only=True):
    """One agent. Exactly one of its four handlers is given, or both of the first with `waits`.

    handle: sync and pure, in the poll thread. handle_async: one event at a time per key,
    `concurrency` keys at once. waits: which events handle_async takes although there is a handle;
    what comes behind one of them with the same key goes the same way. handle_batch, handle_records: a sink, one batch at a time;
    it is the platform's own and no soft stop applies to it. linger_s: how long Kafka may
    gather records for it.
    """

    name: str
    description: str
    kind: Kind
    reads: tuple[str, ...]
    writes: tuple[str, ...] = ()
    workflow: str = "chat"
    handle: Handler | None = None
    handle_async: AsyncHandler | None = None
    waits: Waits | None = None
    handle_batch: BatchHandler | None = None
    handle_records: RecordsHandler | None = None
    start_offsets: StartOffsets | None = None
    concurrency: int = 64
    batch_size: int = 500
    linger_s: float = 0.0
    attempts: int = 3

    @property
    def is_sink(self) -> bool:
        return self.kind == "sink"
