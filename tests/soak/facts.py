"""What a soak collects, as plain data: what clients were told, and what the product has written down."""

from collections.abc import Sequence
from dataclasses import dataclass, field

Coordinates = tuple[str, int, int]


@dataclass(frozen=True)
class Line:
    """A message as a widget shows it. reply_to: the client's id of the question it is or answers."""

    seq: int
    role: str
    text: str
    trace_id: str
    reply_to: str
    reviewed: bool = False
    is_correction: bool = False
    at_s: float = field(default=0.0, compare=False)

    @property
    def is_answer(self) -> bool:
        return self.role != "user" and not self.is_correction


@dataclass
class Said:
    """A message that somebody wrote, and when Kafka had it, as far as its widget was told."""

    client_id: str
    text: str
    at_s: float
    trace_id: str = ""
    accepted_s: float = 0.0


@dataclass(frozen=True)
class Told:
    """What a widget showed of a turn that has no answer yet."""

    trace_id: str
    state: str
    at_s: float


@dataclass
class Client:
    """What one widget wrote and saw; live over all its connections, then once more from the start."""

    name: str
    conversation_id: str = ""
    said: list[Said] = field(default_factory=list)
    live: list[Line] = field(default_factory=list)
    statuses: list[Told] = field(default_factory=list)  # frames of the server
    own_words: list[Told] = field(default_factory=list)  # that there was none
    away: list["Window"] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)  # that no widget should ever get
    unconfirmed: list[str] = field(default_factory=list)  # ids that were sent again
    transcript: list[Line] = field(default_factory=list)


@dataclass(frozen=True)
class Window:
    """When something was wrong."""

    start_s: float
    end_s: float
    what: str = ""

    def overlaps(self, start_s: float, end_s: float, *, after_s: float = 0.0) -> bool:
        return self.start_s <= end_s and start_s <= self.end_s + after_s


@dataclass(frozen=True)
class Decided:
    """A decision that the API confirmed to a moderator."""

    approval_id: str
    turn_id: str
    trace_id: str
    verdict: str
    text: str


@dataclass(frozen=True)
class TopicRecord:
    at: Coordinates
    event_id: str
    source: str
    parents: tuple[str, ...]
    trace_id: str
    turn_id: str
    sha256: str


@dataclass(frozen=True)
class Indexed:
    at: Coordinates
    trace_id: str
    sha256: str


@dataclass(frozen=True)
class Turn:
    id: str
    conversation_id: str
    number: int
    client_id: str
    trace_id: str
    created_s: float
    accepted_s: float


@dataclass(frozen=True)
class Outcome:
    turn_id: str
    effect: str
    state: str
    record_id: str
    kind: str


@dataclass(frozen=True)
class Message:
    """A row of the transcript."""

    conversation_id: str
    turn_id: str
    line: Line
    sha256: str


@dataclass(frozen=True)
class Approval:
    id: str
    turn_id: str
    record_id: str
    state: str


@dataclass(frozen=True)
class Audited:
    """A line of the audit log that says a reply or a correction was delivered."""

    turn_id: str
    trace_id: str
    sha256: str
    seq: int


@dataclass(frozen=True)
class Facts:
    clients: Sequence[Client] = ()
    decided: Sequence[Decided] = ()
    faults: Sequence[Window] = ()
    records: Sequence[TopicRecord] = ()
    indexed: Sequence[Indexed] = ()
    turns: Sequence[Turn] = ()
    outcomes: Sequence[Outcome] = ()
    messages: Sequence[Message] = ()
    duplicates: frozenset[str] = frozenset()  # ids of records that nobody acted on
    approvals: Sequence[Approval] = ()
    audited: Sequence[Audited] = ()


@dataclass(frozen=True)
class Difference:
    """Something that is not as it must be, and the trace that shows it."""

    trace_id: str
    what: str

    def __str__(self) -> str:
        return f"trace {self.trace_id or '-'}: {self.what}"
