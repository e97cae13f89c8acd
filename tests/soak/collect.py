"""Gathers the facts of a soak from Kafka, from its start, and from PostgreSQL."""

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import structlog
from confluent_kafka import Consumer, Message, TopicPartition

from agents import cloudevents
from agents.cloudevents import HeaderError
from agents.topics import TOPICS, USER_RAW
from tests.e2e.product import Product
from tests.soak.facts import (
    Approval,
    Audited,
    Client,
    Coordinates,
    Facts,
    Indexed,
    Line,
    Outcome,
    TopicRecord,
    Turn,
)
from tests.soak.facts import Message as Row

log = structlog.get_logger()

IDLE_S = 10.0

_TURNS = """
SELECT id, conversation_id, number, client_id, trace_id, extract(epoch FROM created_at)::float,
  coalesce(extract(epoch FROM accepted_at), 0)::float
FROM chat_turn WHERE conversation_id = ANY(%s)
"""
_OUTCOMES = """
SELECT o.turn_id, o.effect, o.state, o.record_id, o.kind
FROM chat_outcome o JOIN chat_turn t ON t.id = o.turn_id WHERE t.conversation_id = ANY(%s)
"""
_MESSAGES = """
SELECT m.conversation_id, m.turn_id, m.seq, m.role, m.text, t.trace_id, t.client_id, m.reviewed,
  m.kind = 'correction'
FROM chat_message m JOIN chat_turn t ON t.id = m.turn_id WHERE m.conversation_id = ANY(%s)
"""
_DUPLICATES = """
SELECT d.record_id FROM chat_duplicate d JOIN chat_turn t ON t.id = d.turn_id
WHERE t.conversation_id = ANY(%s)
"""
_APPROVALS = """
SELECT a.id::text, a.turn_id, a.record_id, a.state
FROM moderation_approval a JOIN chat_turn t ON t.id = a.turn_id WHERE t.conversation_id = ANY(%s)
"""
_AUDITED = """
SELECT t.id, e.trace_id, e.detail->>'sha256', (e.detail->>'seq')::int
FROM audit_entry e JOIN chat_turn t ON e.subject = 'turn:' || t.id
WHERE e.action IN ('reply_delivered', 'correction_delivered') AND t.conversation_id = ANY(%s)
"""
_INDEXED = """
SELECT topic, partition, "offset", trace_id, encode(value_sha256, 'hex') FROM traces_record
"""
_UNSETTLED = """
SELECT count(*) FROM chat_turn t LEFT JOIN chat_outcome o ON o.turn_id = t.id
WHERE t.conversation_id = ANY(%s)
  AND coalesce(o.state, 'open') NOT IN ('delivered', 'rejected', 'expired', 'failed')
"""
_RECORDED = "SELECT topic, partition, next_offset FROM traces_recorderoffset"


def from_database(product: Product, clients: Sequence[Client]) -> Facts:
    """Return what PostgreSQL says of these clients' conversations, and the whole index."""
    names = [client.conversation_id for client in clients]
    return Facts(
        clients=clients,
        indexed=[
            Indexed((topic, partition, offset), trace, sha256)
            for topic, partition, offset, trace, sha256 in product.sql(_INDEXED)
        ],
        turns=[Turn(*row) for row in product.sql(_TURNS, names)],
        outcomes=[Outcome(*row) for row in product.sql(_OUTCOMES, names)],
        messages=[_message(row) for row in product.sql(_MESSAGES, names)],
        duplicates=frozenset(row[0] for row in product.sql(_DUPLICATES, names)),
        approvals=[Approval(*row) for row in product.sql(_APPROVALS, names)],
        audited=[Audited(*row) for row in product.sql(_AUDITED, names)],
    )


def _message(row: tuple[Any, ...]) -> Row:
    conversation, turn, seq, role, text, *rest = row
    line = Line(seq, role, text, *rest)
    return Row(conversation, turn, line, hashlib.sha256(text.encode()).hexdigest())


def answered(product: Product, clients: Sequence[Client]) -> int | None:
    """Return how many answers there are; None while any is still to come."""
    names = [client.conversation_id for client in clients]
    if product.sql(_UNSETTLED, names) != [(0,)]:
        return None
    rows = [_message(row) for row in product.sql(_MESSAGES, names)]
    return sum(row.line.is_answer for row in rows)


def ends(product: Product) -> dict[tuple[str, int], int]:
    """Return up to which offset each partition of each topic is written."""
    return dict(_with_consumer(product, _ends))


def recorded(product: Product) -> dict[tuple[str, int], int]:
    """Return up to which offset the recorder says that it is."""
    return {(row[0], row[1]): row[2] for row in product.sql(_RECORDED)}


def from_kafka(product: Product) -> list[TopicRecord]:
    """Read every topic from its start to its end."""
    return list(_with_consumer(product, _read))


def _with_consumer(product: Product, read: Any) -> Iterator[Any]:
    consumer = Consumer(
        {
            "bootstrap.servers": product.env["KAFKA_BOOTSTRAP_SERVERS"],
            "group.id": "soak",
            "enable.auto.commit": False,
            "error_cb": lambda error: log.warning("soak_reads", reason=error.str()),
        }
    )
    try:
        yield from read(consumer)
    finally:
        consumer.close()


def _ends(consumer: Consumer) -> Iterator[tuple[tuple[str, int], int]]:
    for name, topic in TOPICS.items():
        for partition in range(topic.partitions):
            there = TopicPartition(name, partition)
            _, end = consumer.get_watermark_offsets(there, timeout=IDLE_S)
            yield (name, partition), end


def _read(consumer: Consumer) -> Iterator[TopicRecord]:
    missing = {where: end for where, end in _ends(consumer) if end > 0}
    consumer.assign([TopicPartition(*where, 0) for where in missing])
    while missing:
        first = consumer.poll(IDLE_S)
        assert first is not None, f"Kafka gives no more, but there is more: {missing}"
        for message in (first, *consumer.consume(1_000, 0)):
            assert message.error() is None, message.error()
            record = _record(message)
            topic, partition, offset = record.at
            if offset < missing.get((topic, partition), 0):
                yield record
                if offset + 1 == missing[topic, partition]:
                    del missing[topic, partition]


def _record(message: Message) -> TopicRecord:
    value = message.value() or b""
    assert isinstance(value, bytes)
    at: Coordinates = (message.topic(), message.partition(), message.offset())  # type: ignore[assignment]
    sha256 = hashlib.sha256(value).hexdigest()
    try:
        envelope = cloudevents.decode_headers(message.headers())  # type: ignore[arg-type]
    except HeaderError:
        return TopicRecord(at, "", "", (), "", "", sha256)
    return TopicRecord(
        at=at,
        event_id=envelope.id,
        source=envelope.source,
        parents=envelope.parents,
        trace_id=envelope.trace_id,
        turn_id=envelope.id if at[0] == USER_RAW else _turn_of(value),
        sha256=sha256,
    )


class _OfTurn(msgspec.Struct, frozen=True):
    turn_id: str = ""


def _turn_of(value: bytes) -> str:
    try:
        return msgspec.json.decode(value, type=_OfTurn).turn_id
    except msgspec.DecodeError:
        return ""
