"""The register of topics: the only place where their names, owners and contracts are written."""

from collections.abc import Iterator
from functools import partial
from typing import Literal

import msgspec

from agents import events

Writers = Literal["ingress", "agents", "platform"]

DAY_MS = 24 * 3600 * 1000
DEAD_LETTERS = "agents.dlq"
# A dead letter is a whole record and its story in headers.
RECORD_MAX_BYTES = 8_000_000
DEAD_LETTER_MAX_BYTES = 9_000_000


class Topic(msgspec.Struct, frozen=True, kw_only=True):
    """writers: ingress topics are open to outside producers, platform topics to us alone."""

    name: str
    owner: str
    contract: type[events.Payload] | None  # None: any bytes
    writers: Writers = "agents"
    partitions: int = 6
    retention_ms: int = 7 * DAY_MS
    compacted: bool = False
    max_bytes: int = RECORD_MAX_BYTES


TIERS = ("free", "pro", "enterprise", "background")
LOWEST_TIER = "free"
TEAMS = ("discount", "finance", "legal")

USER_RAW = "user.messages.raw"
USER_CLEANED = "user.messages.cleaned"
USER_BLOCKED = "user.messages.blocked"
RESPONSES_RAW = "agent.responses.raw"
RESPONSES_FLAGGED = "agent.responses.flagged"
RESPONSES_FINAL = "agent.responses.final"
RESPONSES_APPROVED = "agent.responses.approved"
RESPONSES_REJECTED = "agent.responses.rejected"
RESPONSES_EXPIRED = "agent.responses.expired"
TRAINING_FEEDBACK = "training.feedback"
EMAIL_SEND = "email.send"
CONTROL_HISTORY = "controlplane.config"
REQUESTS = tuple(f"agent.requests.{tier}" for tier in TIERS)
PENDING = "agent.responses.pending_approval"
TEAM_PENDING = {team: f"{team}.queries.pending_approval" for team in TEAMS}
ALL_PENDING = (PENDING, *TEAM_PENDING.values())


def known_tier(tier: str) -> str:
    """Return the tier itself, or the lowest for one that we do not have: it is guarded like any."""
    return tier if tier in TIERS else LOWEST_TIER


def request_topic(tier: str) -> str:
    return f"agent.requests.{known_tier(tier)}"


def pending_topic(team: str) -> str:
    return TEAM_PENDING.get(team, PENDING)


def _declare() -> Iterator[Topic]:
    yield from _questions()
    yield from _answers()
    yield Topic(name=EMAIL_SEND, owner="effects", contract=events.SendMail)
    yield from _of_the_runtime()


_OURS = partial(Topic, writers="platform")


def _questions() -> Iterator[Topic]:
    chat = partial(Topic, owner="chat")
    yield chat(name=USER_RAW, contract=events.UserMessage, writers="ingress")
    yield chat(name=USER_CLEANED, contract=events.CleanedMessage)
    yield chat(name=USER_BLOCKED, contract=events.BlockedMessage)
    for name in REQUESTS:
        yield chat(name=name, contract=events.ModelRequest)


def _answers() -> Iterator[Topic]:
    chat, decided = partial(Topic, owner="chat"), partial(_OURS, owner="moderation")
    yield chat(name=RESPONSES_RAW, contract=events.RawResponse)
    yield chat(name=RESPONSES_FLAGGED, contract=events.FlaggedResponse)
    yield _OURS(name=RESPONSES_FINAL, owner="chat", contract=events.FinalResponse)
    for name in ALL_PENDING:
        yield Topic(name=name, owner="moderation", contract=events.PendingResponse)
    for name in (RESPONSES_APPROVED, RESPONSES_REJECTED, RESPONSES_EXPIRED):
        yield decided(name=name, contract=events.DecidedResponse)
    yield _OURS(name=TRAINING_FEEDBACK, owner="chat", contract=events.Feedback)


def _of_the_runtime() -> Iterator[Topic]:
    yield Topic(
        name=DEAD_LETTERS,
        owner="runtime",
        contract=None,
        retention_ms=30 * DAY_MS,
        max_bytes=DEAD_LETTER_MAX_BYTES,
    )
    yield _OURS(
        name=CONTROL_HISTORY,
        owner="runtime",
        contract=events.ControlChange,
        partitions=1,
        retention_ms=-1,
        compacted=True,
    )


TOPICS: dict[str, Topic] = {topic.name: topic for topic in _declare()}
INGRESS = frozenset(name for name, each in TOPICS.items() if each.writers == "ingress")


def contract_of(topic: str) -> type[events.Payload]:
    """Return the contract of a topic that has one."""
    contract = TOPICS[topic].contract
    assert contract is not None, topic
    return contract
