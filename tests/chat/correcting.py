"""Corrections as people send them, and the outbox's records as the gate reads them."""

from collections.abc import Sequence
from typing import Any

import msgspec
from django.contrib.auth.models import User

from agents import topics
from agents.agent import Event
from agents.postgres import Database
from agents.records import Record
from agents.work import read_event
from controlplane.chat import corrections
from controlplane.chat.corrections import Target
from controlplane.chat.facts import facts_of
from controlplane.chat.models import Correction, CorrectionCopy
from controlplane.chat.turns import Fact
from controlplane.runtime.headers import headers_of
from controlplane.runtime.models import OutboxRecord
from tests.chat.making import CORRECTED, commit, in_a_thread, opened, reply
from tests.factories import make_user

_DECODERS: dict[str, "msgspec.json.Decoder[Any]"] = {
    topics.RESPONSES_APPROVED: msgspec.json.Decoder(
        topics.contract_of(topics.RESPONSES_APPROVED)
    )
}


async def reach(database: Database, *conversations: str) -> list[Target]:
    """Answer a question of each; return what somebody sees who looks now."""
    facts: list[Fact] = []
    for name in conversations:
        facts += [opened(f"t-{name}", name), reply(f"t-{name}", name)]
    await commit(database, *facts)
    return [Target(name, f"t-{name}", 1) for name in conversations]


async def send(targets: Sequence[Target], **fields: Any) -> Correction:
    return await in_a_thread(lambda: send_now(targets, **fields))


def send_now(targets: Sequence[Target], **fields: Any) -> Correction:
    defaults = {"text": CORRECTED, "reason": "It had named the price of another car."}
    mona = User.objects.filter(username="mona").first()
    author = mona or make_user("mona", "moderator")
    return corrections.send_correction(
        targets=targets, author=author, **(defaults | fields)
    )


async def confirm(correction: Correction) -> int:
    def act() -> int:
        ada = make_user("ada", "admin")
        return corrections.confirm_copies(
            correction, correction.copies.all(), confirmer=ada
        )

    return await in_a_thread(act)


async def sent() -> list[Fact]:
    """Return what the outbox says of corrections, as the gate reads it from Kafka."""
    return await in_a_thread(lambda: facts_of(sent_events()))


def sent_events() -> list[Event[Any]]:
    rows = OutboxRecord.objects.filter(topic=topics.RESPONSES_APPROVED).order_by("pk")
    return [read_event(as_record(row), _DECODERS) for row in rows]


def as_record(row: OutboxRecord, *, at_ms: int = 0) -> Record:
    return Record(
        topic=row.topic,
        partition=0,
        offset=row.pk,
        timestamp_ms=at_ms,
        key=None if row.key is None else bytes(row.key),
        value=bytes(row.value),
        headers=headers_of(row.headers),
    )


async def copies() -> dict[str, tuple[str, str]]:
    """Return state and why of each copy, by conversation."""

    def read() -> dict[str, tuple[str, str]]:
        rows = CorrectionCopy.objects.order_by("conversation")
        return {copy.conversation_id: (copy.state, copy.why) for copy in rows}

    return await in_a_thread(read)
