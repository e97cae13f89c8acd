"""One record on its way through an agent: read, handled, its outputs acknowledged, done."""

import threading
from collections.abc import Iterable
from typing import Any

import msgspec

from agents import cloudevents, topics
from agents.agent import Agent, Event, Send
from agents.cloudevents import Envelope, HeaderError
from agents.ledger import Ledger
from agents.records import Record


class UnreadableError(Exception):
    """A record that is not what its topic's contract says."""


class ContractError(Exception):
    """A handler sent what the register of topics does not allow it to send."""


class Work:
    """A record and what is still to be acknowledged because of it.

    problem says why there is no event, if there should be one.
    """

    __slots__ = (
        "_is_buried",
        "_lock",
        "_outstanding",
        "event",
        "has_slot",
        "ledger",
        "problem",
        "record",
    )

    def __init__(
        self,
        record: Record,
        ledger: Ledger,
        event: Event[Any] | None,
        problem: UnreadableError | None = None,
    ) -> None:
        self.record = record
        self.ledger = ledger
        self.event = event
        self.problem = problem
        self.has_slot = False  # of a release that is ramped
        self._outstanding = 0
        self._is_buried = False
        self._lock = threading.Lock()

    @property
    def key(self) -> bytes:
        return self.record.key or b""

    @property
    def tier(self) -> str:
        """Return what the scope of a stop is compared with; nothing if it cannot be read."""
        if self.event is None:
            return ""
        return getattr(self.event.data, "tier", "") or self.event.envelope.tier

    def read(self) -> Event[Any]:
        """Return the event. UnreadableError if there is none."""
        if self.event is None:
            raise self.problem or UnreadableError(
                "the topic has no contract to read it by"
            )
        return self.event

    def start(self) -> None:
        self.has_slot = False
        self.ledger.start(self.record.offset)

    def rest(self) -> None:
        """Nothing of it runs for now."""
        self.ledger.rest(self.record.offset)

    def expect(self, acknowledgements: int) -> None:
        """Finish after so many calls of acknowledged(); none finishes now."""
        if acknowledgements == 0:
            self.finish()
        self._outstanding = acknowledgements

    def acknowledged(self) -> None:
        with self._lock:
            self._outstanding -= 1
            if self._outstanding == 0:
                self.finish()

    def bury(self) -> bool:
        """Tell whether this call is the first: a record has one dead letter."""
        with self._lock:
            is_first = not self._is_buried
            self._is_buried = True
        return is_first

    def finish(self) -> None:
        self.ledger.finish(self.record.offset)


class Outgoing(msgspec.Struct, frozen=True, gc=False):
    """A record ready to be published."""

    topic: str
    key: bytes | None
    value: bytes
    headers: cloudevents.Headers


def read_event(
    record: Record, decoders: dict[str, "msgspec.json.Decoder[Any]"]
) -> Event[Any]:
    """Read and validate in one step. UnreadableError says what is wrong."""
    try:
        envelope = cloudevents.decode_headers(record.headers)
        data = decoders[record.topic].decode(record.value)
    except (
        HeaderError,
        msgspec.DecodeError,
        UnicodeDecodeError,
        RecursionError,
    ) as error:
        raise UnreadableError(str(error)) from error
    return Event(data=data, envelope=envelope, record=record)


def decoders_for(agent: Agent) -> dict[str, "msgspec.json.Decoder[Any]"]:
    return {
        name: msgspec.json.Decoder(contract)
        for name in agent.reads
        if (contract := topics.TOPICS[name].contract) is not None
    }


def outgoing(agent: Agent, event: Event[Any], sends: Iterable[Send]) -> list[Outgoing]:
    """Turn what a handler sent into records with deterministic ids."""
    numbers: dict[str, int] = {}
    records = []
    for send in sends:
        number = numbers.get(send.topic, 0)
        numbers[send.topic] = number + 1
        records.append(_encode(agent, event, send, number))
    return records


def _encode(agent: Agent, event: Event[Any], send: Send, number: int) -> Outgoing:
    if send.topic not in agent.writes:
        raise ContractError(
            f"{agent.name} does not declare that it writes {send.topic}"
        )
    if not isinstance(send.data, topics.contract_of(send.topic)):
        raise ContractError(f"{send.topic} does not carry {type(send.data).__name__}")
    cause = event.envelope
    envelope = Envelope(
        id=cloudevents.derive_id(cause.id, agent.name, send.topic, number),
        type=type(send.data).__name__,
        source=agent.name,
        trace_id=cause.trace_id,
        subject=cause.subject,
        workflow=cause.workflow or agent.workflow,
        tier=cause.tier,
        parents=(cause.id,),
    )
    return Outgoing(
        send.topic,
        event.record.key,
        msgspec.json.encode(send.data),
        cloudevents.encode_headers(envelope),
    )


# Says on a record that people sent again which letter it was in.
REDRIVE = "ilk_redrive"
# What a dead letter says behind the headers of its record.
STORY = (
    "ilk_dlq_topic",
    "ilk_dlq_partition",
    "ilk_dlq_offset",
    "ilk_dlq_time_ms",
    "ilk_dlq_agent",
    "ilk_dlq_reason",
    "ilk_dlq_attempts",
)


def dead_letter(record: Record, *, agent: str, reason: str, attempts: int) -> Outgoing:
    """Return the record as it came, bytes and headers, with its story in further headers."""
    story = (
        record.topic,
        str(record.partition),
        str(record.offset),
        str(record.timestamp_ms),
        agent,
        reason[:2_000],
        str(attempts),
    )
    return Outgoing(
        topics.DEAD_LETTERS,
        record.key,
        record.value,
        record.headers
        + [
            (name, text.encode(errors="backslashreplace"))
            for name, text in zip(STORY, story, strict=True)
        ],
    )


def open_letter(
    headers: cloudevents.Headers,
) -> tuple[cloudevents.Headers, dict[str, str]]:
    """Return the headers that the record came with, and the story behind them.

    The record may have brought headers of such names itself: only the last of each is ours.
    """
    story: dict[str, str] = {}
    end = len(headers)
    while end and headers[end - 1][0] in STORY and headers[end - 1][0] not in story:
        end -= 1
        name, value = headers[end]
        story[name] = value.decode(errors="replace")
    return headers[:end], story
