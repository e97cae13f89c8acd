"""A reply that reached somebody, with all that is known of where it came from."""

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import islice

import msgspec
from django.db import connection
from django.db.models import Q, QuerySet

from controlplane.chat.models import Message, Outcome, Received
from moderation.models import Approval

# OFFSET 0: nobody can tell the planner that a trace has few records, so it would read all of them.
_RECORDS = """
SELECT r.trace_id, r.conversation_id, r.rules, r.backend FROM unnest(%s::text[]) AS named(id)
CROSS JOIN LATERAL (
  SELECT * FROM traces_record
  WHERE trace_id = named.id AND (rules <> '{}' OR backend <> '') OFFSET 0) r
"""
AT_ONCE = 2_000
AROUND = 160  # characters shown before and after what was looked for


Place = tuple[str, str]  # a trace and a conversation: which records a turn has


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """agent: behind the text. rules: that hit in any verdict on its turn. fetched: a widget says that it has it."""

    id: int
    at: datetime
    conversation: str
    seq: int
    user: str
    tier: str
    kind: str
    text: str
    reviewed: bool
    fetched: bool
    agent: str
    backends: list[str]
    rules: list[str]
    turn: str
    trace_id: str


class Known(msgspec.Struct):
    """What the index and the approvals know of where some replies came from."""

    sources: dict[str, str]  # by turn
    received: dict[str, int]  # up to which line, by conversation
    held: dict[str, set[str]]  # rules, by turn
    rules: dict[Place, set[str]]
    backends: dict[Place, set[str]]


Excerpt = list[
    tuple[str, bool]
]  # a piece of a text, and whether it is what was looked for


def all_lines(found: QuerySet[Message]) -> Iterator[Line]:
    rows = found.select_related("turn__conversation").iterator(chunk_size=AT_ONCE)
    while batch := list(islice(rows, AT_ONCE)):
        yield from _described(batch)


def page_of(
    found: QuerySet[Message], *, after: Message | None, size: int
) -> list[Line]:
    rows = found.select_related("turn__conversation")
    return _described(list((page_after(rows, after) if after else rows)[:size]))


def page_after(rows: QuerySet[Message], after: Message) -> QuerySet[Message]:
    """Return what comes later in the order of reached()."""
    at = after.delivered_at
    return rows.filter(Q(delivered_at__gt=at) | Q(delivered_at=at, pk__gt=after.pk))


def excerpt(text: str, phrase: str) -> Excerpt:
    """Return the part of a text around a phrase, or its beginning."""
    hit = re.search(re.escape(phrase), text, re.IGNORECASE) if phrase else None
    if hit is None:
        cut = text[: 2 * AROUND]
        return [(cut + ("…" if len(cut) < len(text) else ""), False)]
    start, end = max(0, hit.start() - AROUND), hit.end() + AROUND
    before = ("…" if start else "") + text[start : hit.start()]
    after = text[hit.end() : end] + ("…" if end < len(text) else "")
    return [(before, False), (hit[0], True), (after, False)]


def _described(rows: Sequence[Message]) -> list[Line]:
    known = _known(rows)
    return [_line(row, known) for row in rows]


def _line(row: Message, known: Known) -> Line:
    turn, place = row.turn, (row.turn.trace_id, row.conversation_id)
    return Line(
        id=row.pk,
        at=row.delivered_at,
        conversation=row.conversation_id,
        seq=row.seq,
        user=turn.conversation.user,
        tier=turn.effective_tier,
        kind=row.kind,
        text=row.text,
        reviewed=row.reviewed,
        fetched=known.received.get(row.conversation_id, 0) >= row.seq,
        agent=known.sources.get(turn.pk, ""),
        backends=sorted(known.backends[place]),
        rules=sorted(known.rules[place] | known.held[turn.pk]),
        turn=turn.pk,
        trace_id=turn.trace_id,
    )


def _known(rows: Sequence[Message]) -> Known:
    turns = [row.turn_id for row in rows]
    sources = Outcome.objects.filter(effect="reply", turn__in=turns)
    received = Received.objects.filter(pk__in={row.conversation_id for row in rows})
    known = Known(
        sources=dict(sources.values_list("turn", "source")),
        received=dict(received.values_list("conversation_id", "seq")),
        held=defaultdict(set),
        rules=defaultdict(set),
        backends=defaultdict(set),
    )
    held = Approval.objects.filter(turn__in=turns).values_list("turn", "verdict")
    for turn, verdict in held:
        known.held[turn].update(hit["rule"] for hit in verdict.get("findings", ()))
    for trace, conversation, rules, backend in _records(rows):
        known.rules[trace, conversation].update(rules)
        known.backends[trace, conversation].update(filter(None, [backend]))
    return known


def _records(rows: Sequence[Message]) -> list[tuple[str, str, list[str], str]]:
    """Return trace, conversation, rules and backend of the records that say any."""
    with connection.cursor() as cursor:
        cursor.execute(_RECORDS, [sorted({row.turn.trace_id for row in rows})])
        return list(cursor.fetchall())
